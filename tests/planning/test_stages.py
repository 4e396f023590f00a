"""Where blocks end, what sets their level, and which of them can be compared."""

import torch
from torch import nn

from evenflow.planning.residual import residual_sums
from evenflow.planning.stages import chains, is_plain, stages
from evenflow.planning.uses import uses

from ..tracing import graph_of


def found(model, *inputs):
    graph = graph_of(model, *inputs)
    readings = uses(graph)
    return graph, stages(graph, readings, residual_sums(graph, readings))


def ends(graph, each):
    return [graph.node(name).op for stage in each for name in stage.outputs]


def test_a_block_ends_at_each_weight_but_the_last():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    graph, known = found(model, torch.zeros(2, 8))
    assert [stage.weight for stage in known] == ["0.weight", "2.weight"]
    assert [stage.behind for stage in known] == [(), (0,)]
    assert all(is_plain(graph, known, place) for place in (0, 1))


def test_a_block_goes_on_through_the_normalisation_that_then_holds_it():
    first = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
    model = nn.Sequential(*first, nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
    graph, known = found(model, torch.zeros(2, 3, 9, 9))
    assert ends(graph, known) == ["batch_norm", "conv2d"]
    assert [(stage.held, stage.weight) for stage in known] == [(True, ""), (False, "3.weight")]


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.value, self.down = (nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.down(torch.sigmoid(self.gate(x)) * self.value(x)))


def test_a_gate_is_part_of_the_block_of_its_value():
    graph, known = found(Gated(), torch.zeros(2, 8))
    assert ends(graph, known) == ["mul", "linear"]
    assert [stage.weight for stage in known] == ["value.weight", "down.weight"]
    assert not is_plain(graph, known, 0)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.packed, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        q, k, v = self.packed(x).chunk(3, -1)
        return self.head(self.out(torch.softmax(q @ k.mT, -1) @ v))


def test_queries_keys_and_values_are_part_of_the_attention_s_block():
    _, known = found(Attention(), torch.zeros(2, 5, 8))
    assert [stage.weight for stage in known] == ["out.weight"]


class Two(nn.Module):
    """Two residual streams, of which one reads the other only in its branch."""

    def __init__(self):
        super().__init__()
        self.one = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.two = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.start = nn.Linear(8, 8)

    def forward(self, x, y):
        for layer in self.one:
            x = x + layer(x)
        y = self.start(y)
        for layer in self.two:
            y = y + layer(y * x)
        return y


def test_streams_that_do_not_lead_to_one_another_are_not_compared():
    _, known = found(Two(), torch.zeros(2, 8), torch.zeros(2, 8))
    assert [len(stage.outputs) for stage in known] == [2, 2]
    assert [stage.weight for stage in known] == ["", "start.weight"]
    assert chains(known) == ((0,), (1,))


def test_what_joins_later_leaves_a_weight_alone():
    class Edges(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x, edges):
            x = torch.relu(edges @ self.first(x))
            return self.head(torch.relu(edges @ self.second(x)))

    _, known = found(Edges(), torch.zeros(2, 5, 8), torch.zeros(2, 5, 5))
    assert [stage.weight for stage in known] == ["first.weight", ""]
