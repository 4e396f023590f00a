"""A rule that fails at a use that nobody thought of is an obstacle, and no crash."""

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.graph.propagate import propagate
from evenflow.graph.rules.registry import RULES, Rule
from evenflow.graph.sampler import Sampler
from evenflow.torch.weights import parameter_moments

from ..tracing import traced


def fails(*_):
    raise ZeroDivisionError("of nothing")


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setitem(RULES, "layer_norm", Rule(fails, fails))
    return nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 16))


def test_the_operation_is_named_and_what_lies_behind_it_unknown(model):
    trace, parameters = traced(model, torch.zeros(4, 16))
    found = propagate(trace.graph, parameter_moments(trace.graph, parameters))
    (name,) = (node.name for node in trace.graph.nodes if node.op == "layer_norm")
    assert "fails: ZeroDivisionError: of nothing in 1" in found.obstacles_forward[name]
    assert trace.graph.outputs[0] in found.obstacles_forward


def test_a_plan_is_made_all_the_same(model):
    plan = ef.plan(model, torch.zeros(4, 16))
    assert plan["0.weight"].distribution is not None


def test_sampling_that_fails_is_an_obstacle_too(model):
    trace, parameters = traced(model, torch.zeros(4, 16))
    sampler = Sampler(Rule(fails, fails), fails, fails)
    found = propagate(trace.graph, parameter_moments(trace.graph, parameters), sample=sampler)
    (name,) = (node.name for node in trace.graph.nodes if node.op == "layer_norm")
    reason = found.obstacles_forward[name]
    assert "sampling fails: 'layer_norm' fails: ZeroDivisionError: of nothing" in reason
