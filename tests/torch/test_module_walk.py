"""Models that cannot be exported are walked module by module, and what is unseen is said."""

import pytest
import torch
from torch import nn

from evenflow.graph.propagate import propagate
from evenflow.planning.uses import uses
from evenflow.theory.gain import gain
from evenflow.torch.api import plan
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.weights import parameter_moments

from ..tracing import traced


class Undecided(nn.Module):
    """What comes next depends on the data, so that torch.export gives up."""

    def __init__(self, body=None):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)
        self.body = body

    def forward(self, x):
        h = self.act(self.first(x))
        if h.sum() >= 0:
            h = self.between(h)
        return self.last(h)

    def between(self, h):
        return h if self.body is None else self.body(h)


def walked(model, x=None):
    trace, parameters = traced(model, torch.ones(2, 8) if x is None else x)
    assert trace.program is None
    assert trace.graph.trace.startswith("module walk: GuardOnDataDependentSymNode")
    return trace, parameters


def derived(model):
    trace, parameters = walked(model)
    return trace.graph, propagate(trace.graph, parameter_moments(trace.graph, parameters))


def test_modules_are_joined_by_the_tensors_that_pass_between_them():
    graph, found = derived(Undecided())
    assert [(n.name, n.op, n.layer) for n in graph.nodes] == [
        ("first", "linear", "first"),
        ("act", "activation", "act"),
        ("last", "linear", "last"),
    ]
    assert graph.outputs == ("last",)
    assert not found.obstacles_forward
    assert {n: (u.fan_in, u.fan_out) for n, (u,) in uses(graph).items() if u.is_weight} == {
        "first.weight": (8, 8),
        "last.weight": (8, 4),
    }


UNSEEN = {
    "a new tensor": lambda h: h * 2,
    "a write in place": lambda h: h.mul_(2),
    "a write to an output": lambda h: h.clamp_(max=1),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_code_between_modules_is_an_obstacle(case):
    graph, found = derived(Undecided(UNSEEN[case]))
    (glue,) = (n for n in graph.nodes if n.op == "code between modules")
    reason = "no rule for 'code between modules' in the top of the model"
    assert found.obstacles_forward == {glue.name: reason, "last": reason}
    # whatever ran before may have been read there, so no gradient of it is known
    for name in ("first", "act", "first.weight", "input_0"):
        assert found.obstacles_backward[name] == reason


def test_the_plan_says_how_the_graph_was_had():
    found = plan(Undecided(), torch.ones(2, 8))
    assert found.notes[-1].startswith("the graph was had by a module walk: GuardOnDataDependent")


def test_a_parameter_that_only_unseen_code_reads_is_left_as_found():
    model = Undecided()
    model.scale = nn.Parameter(torch.ones(8))
    model.body = lambda h: h * model.scale
    entry = plan(model, torch.ones(2, 8))["scale"]
    assert entry.distribution is None
    assert entry.why == "left as found: no module that could be traced reads it"


def test_torchs_own_modules_with_parameters_are_seen_as_a_whole():
    class Attending(Undecided):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))

        def between(self, h):
            return self.normed(self.attention(h, h, h)[0])

    trace, _ = walked(Attending(), torch.ones(2, 3, 8))
    found = uses(trace.graph)
    assert found["attention.in_proj_weight"][0].blocks == (8, 8, 8)
    assert found["attention.out_proj.weight"][0].role == "linear"
    assert found["normed.parametrizations.weight.original1"][0].role == "linear"
    assert found["normed.parametrizations.weight.original0"][0].role == "magnitude"


def test_a_module_that_is_called_twice_is_two_operations():
    class Twice(Undecided):
        def between(self, h):
            return self.act(self.first(h))

    graph, found = derived(Twice())
    assert [n.name for n in graph.nodes] == ["first", "act", "first_1", "act_1", "last"]
    assert not found.obstacles_forward
    assert len(uses(graph)["first.weight"]) == 2


def test_modules_of_several_results_and_constants_are_joined():
    class Shift(nn.Module):
        def forward(self, x):
            return x + torch.tensor(0.5), x

    class Recurrent(Undecided):
        def __init__(self):
            super().__init__()
            self.shift, self.recurrent = Shift(), nn.GRU(8, 8)

        def between(self, h):
            shifted, same = self.shift(h)
            assert same is h
            return self.recurrent(shifted)[0]

    _, found = derived(Recurrent())
    z = found.forward["first"]
    assert found.forward["shift"].mean == pytest.approx(gain("relu", z.second, z.mean).mean + 0.5)
    assert "last" in found.forward


def test_a_module_that_cannot_be_exported_alone_stands_for_itself():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))

        def forward(self, x):
            return x * self.scale if x.sum() >= 0 else x

    model = Undecided()
    model.inner = Inner()
    model.body = model.inner
    graph, found = derived(model)
    assert found.obstacles_forward["last"] == "no rule for 'Inner' in inner"
    assert [use.role for use in uses(graph)["inner.scale"]] == ["other"]


def test_tied_modules_keep_the_first_name():
    model = Undecided()
    model.again = nn.Linear(8, 8)
    model.again.weight = model.first.weight
    model.body = model.again
    trace, _ = walked(model)
    assert len(uses(trace.graph)["first.weight"]) == 2
    assert "again.weight" not in trace.graph.parameters


def test_a_replay_gives_the_models_own_output_and_every_value():
    model = Undecided()
    trace, parameters = walked(model)
    seen = {}
    x = torch.randn(2, 8)

    def see(name, value):
        seen[name] = value.clone()
        return value

    output = run(trace, parameters, Call((x,), {}), see)
    assert list(seen) == ["first", "act", "last"]
    torch.testing.assert_close(output, model(x))
    torch.testing.assert_close(seen["first"], model.first(x))


def test_what_an_observer_returns_takes_the_values_place():
    model = Undecided()
    trace, parameters = walked(model)
    call = Call((torch.randn(2, 8),), {})
    output = run(trace, parameters, call, lambda n, v: torch.zeros_like(v) if n == "act" else v)
    torch.testing.assert_close(output, model.last.bias.expand(2, 4))


def test_hooks_are_gone_afterwards():
    model = Undecided()
    walked(model)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_integer_and_plain_arguments_are_no_matter():
    class Told(Undecided):
        def forward(self, tokens, scale, *, flag=True):
            return super().forward(nn.functional.one_hot(tokens, 8).float() * scale)

    trace, _ = traced(Told(), torch.zeros(2, dtype=torch.long), 2.0, flag=False)
    assert trace.program is None
    assert trace.graph.input_dtypes == {"input_0": "int64"}
