"""Regions without gradients and regions under autocast are parts of the program like any other."""

import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call

from ..tracing import traced

X = torch.linspace(-1, 1, 24).reshape(4, 6)


class Gate(nn.Module):
    """x times a gate through which no gradient goes."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        h = self.first(x)
        with torch.no_grad():
            gate = torch.sigmoid(self.gate(h))
            with torch.enable_grad():
                both = gate + gate.sin()
        return h * both


class Cast(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = self.first(x)
        return self.last(h.float())


@pytest.mark.parametrize("model", [Gate(), Cast()], ids=["no_grad", "autocast"])
def test_every_operation_is_named_and_observed(model):
    trace, parameters = traced(model, X)
    assert trace.graph.trace == "export"
    assert not [node for node in trace.graph.nodes if node.op.startswith("wrap_with")]
    assert len({node.name for node in trace.graph.nodes}) == len(trace.graph.nodes)
    seen = []
    output = run(trace, parameters, Call((X,), {}), lambda name, value: seen.append(name) or value)
    torch.testing.assert_close(output, model(X))
    assert {node.name for node in trace.graph.nodes} <= set(seen)


def test_gradients_are_those_of_the_model():
    model = Gate()
    trace, parameters = traced(model, X)
    model(X).sum().backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    run(trace, parameters, Call((X,), {}), lambda _, value: value).sum().backward()
    torch.testing.assert_close(model.first.weight.grad, expected["first.weight"])
    assert model.gate.weight.grad is None


def test_no_gradient_is_derived_into_a_region_without():
    trace, _ = traced(Gate(), X)
    known = {
        f"{name}.{part}": Moments.independent(0.0, 0.1, (6, 6) if part == "weight" else (6,))
        for name in ("first", "gate")
        for part in ("weight", "bias")
    }
    found = propagate(trace.graph, known)
    assert not found.obstacles_forward
    assert found.backward["first.weight"].second > 0
    assert "gate.weight" not in found.backward


def test_what_a_program_cannot_return_is_left_out():
    class Cache:
        def __init__(self, value):
            self.value = value

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)

        def forward(self, x):
            h = self.first(x)
            return {"out": h, "cache": Cache(h)}

    trace, parameters = traced(Cached(), X)
    assert trace.graph.trace == "export"
    output = run(trace, parameters, Call((X,), {}), lambda _, value: value)
    assert output["cache"] is None
    torch.testing.assert_close(output["out"], parameters.model(X)["out"])
    assert not parameters.model._forward_hooks
