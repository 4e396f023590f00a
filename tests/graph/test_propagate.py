"""Obstacles: an operation without a rule is named, and nothing passes it in silence."""

import pytest
import torch
from torch import nn

from evenflow.graph.graph import Graph, Node, Parameter, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.torch.weights import parameter_moments

from ..tracing import graph_of, traced


class Middle(nn.Module):
    """Two linear layers with something in between, and a branch that goes around it."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)
        self.function = function

    def forward(self, x):
        h = self.first(x)
        return self.last(self.function(h)) + h


def derivation(model, *inputs):
    trace, parameters = traced(model, *inputs)
    return trace.graph, propagate(trace.graph, parameter_moments(trace.graph, parameters))


UNKNOWN = {
    "logcumsumexp": lambda x: torch.logcumsumexp(x, -1),
    "sort": lambda x: x.sort(-1).values,
    "fft_fft": lambda x: torch.fft.fft(x).real,
}


@pytest.mark.parametrize("op", UNKNOWN)
def test_an_unknown_operation_is_named_and_blocks_both_ways(op):
    graph, found = derivation(Middle(UNKNOWN[op]), torch.zeros(4, 8))
    (last,) = (n for n in graph.nodes if n.name == "linear_1")
    assert "linear" in found.forward
    assert last.name not in found.forward
    assert op in found.obstacles_forward[last.name]
    assert op in found.obstacles_forward[graph.outputs[0]]
    assert found.backward.keys() == set(graph.outputs)
    for name in ("linear_1", "linear", "x", "first.weight", "first.bias", "last.weight"):
        assert name not in found.backward
        assert op in found.obstacles_backward[name]


def test_a_gradient_that_comes_around_an_obstacle_is_not_taken_for_the_whole():
    """h feeds both the obstacle and the sum: the sum's share alone would be too small."""
    graph = chain("linear", "mystery", tail=("add", {"input": "mystery", "other": "linear"}))
    found = propagate(graph, WEIGHT)
    assert "mystery" in found.obstacles_backward["linear"]


def chain(*ops, tail=None):
    nodes, behind = [], "x"
    for op in ops:
        arguments = {"input": Ref(behind)} | ({"weight": Ref("w")} if op == "linear" else {})
        nodes.append(Node(op, op, arguments, (4, 8), layer="body"))
        behind = op
    if tail:
        op, arguments = tail
        refs = {key: Ref(name) for key, name in arguments.items()}
        nodes.append(Node(op, op, refs, (4, 8), layer="body"))
        behind = op
    return Graph({"x": (4, 8)}, {"w": Parameter("w", (8, 8), "float32")}, tuple(nodes), (behind,))


WEIGHT = {"w": Moments.independent(0.0, 1 / 8, (8, 8))}


def test_the_obstacle_says_what_and_where():
    found = propagate(chain("linear", "mystery", "neg"), WEIGHT)
    assert found.obstacles_forward == {
        "mystery": "no rule for 'mystery' in body",
        "neg": "no rule for 'mystery' in body",
    }


def test_an_obstacle_at_the_top_says_so_with_the_line():
    graph, found = derivation(Middle(UNKNOWN["sort"]), torch.zeros(4, 8))
    (node,) = (n for n in graph.nodes if n.op == "sort")
    assert found.obstacles_forward[node.name].startswith(
        "no rule for 'sort' in the top of the model (test_propagate.py:"
    )


def test_without_obstacles_every_value_has_moments():
    graph, found = derivation(nn.Sequential(nn.Linear(8, 8), nn.Tanh()), torch.zeros(4, 8))
    assert not found.obstacles_forward
    assert not found.obstacles_backward
    assert found.forward.keys() == {
        *graph.inputs,
        *graph.parameters,
        *(n.name for n in graph.nodes),
    }
    assert found.backward.keys() == found.forward.keys()


def test_cotangents_and_inputs_are_those_given():
    graph = chain("neg")
    given = Moments.independent(1.0, 2.0, (4, 8))
    found = propagate(graph, WEIGHT, {"x": given}, {"neg": 9.0})
    assert found.forward["neg"].mean == -1.0
    assert found.forward["neg"].pairs.tolist() == given.pairs.tolist()
    assert {name: m.second for name, m in found.backward.items()} == {"neg": 9.0, "x": 9.0}


def test_inputs_count_as_standard_normal():
    found = propagate(chain("neg"), WEIGHT).forward["x"]
    assert (found.mean, found.second, found.shared_examples) == (0.0, 1.0, 0.0)
    assert [axis[0].role for axis in found.axes] == ["examples", "units"]


def test_gradients_of_several_readers_add_up():
    graph = chain("linear", "neg", tail=("add", {"input": "neg", "other": "linear"}))
    assert propagate(graph, WEIGHT).backward["linear"].second == 2.0


class Masked(nn.Module):
    """Indices and masks have no moments; asking for their values is an obstacle."""

    def __init__(self, use):
        super().__init__()
        self.table, self.linear = nn.Embedding(10, 8), nn.Linear(8, 8)
        self.use = use

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1])
        x = self.table(tokens) + self.table(positions)
        return self.linear(self.use(x, tokens))


TOKENS = torch.zeros(2, 5, dtype=torch.long)


def test_indices_stand_in_nobodys_way():
    _, found = derivation(Masked(lambda x, _: x), TOKENS)
    assert not found.obstacles_forward
    assert not found.obstacles_backward
    assert "tokens" not in found.forward


def test_the_values_of_integers_are_unknown():
    node = Node("floats", "to", {"input": Ref("tokens")}, (4, 8))
    graph = Graph({"tokens": (4, 8)}, {}, (node,), ("floats",), input_dtypes={"tokens": "int64"})
    (reason,) = propagate(graph, {}).obstacles_forward.values()
    assert "'tokens', whose values are unknown" in reason


def test_a_mask_does_not_block_what_it_was_made_of():
    mask = Node("mask", "gt", {"input": Ref("x")}, (4, 8), "bool")
    masked = Node("masked", "mystery", {"input": Ref("mask")}, (4, 8))
    other = Node("other", "neg", {"input": Ref("x")}, (4, 8))
    found = propagate(Graph({"x": (4, 8)}, {}, (mask, masked, other), ("masked", "other")), {})
    assert found.obstacles_forward == {"masked": "no rule for 'mystery' in the top of the model"}
    assert found.backward["x"].second == 1.0
    assert not found.obstacles_backward


def test_an_activation_without_gaussian_moments_is_an_obstacle():
    node = Node("grown", "activation", {"input": Ref("x")}, (4, 8), activation=_exponential())
    graph = Graph({"x": (4, 8)}, {}, (node,), ("grown",))
    found = propagate(graph, {}, {"x": Moments.independent(0.0, 1e7, (4, 8))})
    assert found.obstacles_forward["grown"].startswith("exp")
    assert not propagate(graph, {}).obstacles_forward


def _exponential():
    graph = graph_of(nn.Sequential(nn.Linear(8, 8), Applied(torch.exp)), torch.zeros(4, 8))
    return graph.nodes[-1].activation


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("op", "function"), [("log", lambda x: torch.log(x - 9)), ("exp", lambda x: torch.exp(x**2))]
)
def test_a_chain_that_is_no_function_everywhere_stays_what_it_is(op, function):
    graph, found = derivation(Middle(function), torch.zeros(4, 8))
    assert op in [node.op for node in graph.nodes]
    (reason,) = set(found.obstacles_forward.values())
    assert reason.startswith(("no rule for", "a power or logarithm of what may be zero"))


def test_values_that_overflow_are_an_obstacle():
    huge = {"w": Moments.independent(0.0, 1e308, (8, 8))}
    found = propagate(chain("linear", "neg"), huge, {"x": Moments.independent(0.0, 100.0, (4, 8))})
    assert found.obstacles_forward["neg"] == "values overflow in body"
    small = {"x": Moments.independent(0.0, 1e-6, (4, 8))}
    found = propagate(chain("linear", "neg"), huge, small, {"neg": 100.0})
    assert not found.obstacles_forward
    assert found.obstacles_backward["x"] == "gradients overflow in body"


def test_a_detached_branch_gets_no_gradient():
    class Detached(Middle):
        def forward(self, x):
            return self.last(self.first(x).detach())

    _, found = derivation(Detached(None), torch.zeros(4, 8))
    assert "last.weight" in found.backward
    assert "first.weight" not in found.backward | found.obstacles_backward


class Overwritten(nn.Module):
    """Writes through a view, which the exported program does not show in what it reads later."""

    def __init__(self, write):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.write = write

    def forward(self, x):
        h = self.linear(x)
        return self.write(h) * 2


def zero_a_part(h):
    h[:, :3] = 0
    return h


def scale_a_view(h):
    h.view(-1).mul_(3)
    return h


def write_behind_a_view(h):
    view = h.view(-1)
    h.relu_()
    return view


@pytest.mark.parametrize(
    ("write", "op"),
    [
        (zero_a_part, "fill"),
        (scale_a_view, "write through a view"),
        (write_behind_a_view, "write through a view"),
    ],
)
def test_a_write_through_a_view_is_an_obstacle(write, op):
    graph, found = derivation(Overwritten(write), torch.zeros(4, 8))
    assert f"no rule for {op!r}" in found.obstacles_forward[graph.outputs[0]]
    assert "linear.weight" not in found.backward


def test_a_write_in_place_is_an_operation_like_any_other():
    def written(h):
        h.relu_()
        h += 1
        return h

    graph, found = derivation(Overwritten(written), torch.zeros(4, 8))
    assert not found.obstacles_forward
    last = graph.nodes[-1]  # ((relu(x) + 1) · 2), read off the layer itself
    assert last.arguments["input"] == Ref("linear")
    assert last.activation.function(torch.tensor([-1.0, 2.0]).numpy()).tolist() == [2.0, 6.0]


def test_an_unread_write_is_no_obstacle():
    class Unread(Overwritten):
        def forward(self, x):
            h = self.linear(x)
            out = h * 2
            h[:, 0] = 7
            return out

    _, found = derivation(Unread(None), torch.zeros(4, 8))
    assert not found.obstacles_backward
    assert "mul" in found.forward


def test_the_graph_answers_for_its_values():
    graph = graph_of(nn.Linear(8, 4), torch.zeros(2, 8))
    assert graph.shape("input") == (2, 8)
    assert graph.shape("weight") == (4, 8)
    assert graph.shape("linear") == (2, 4)
    assert graph.node("weight") is None
    assert [node.name for node in graph.users("weight")] == ["linear"]
    assert graph.users("linear") == ()
