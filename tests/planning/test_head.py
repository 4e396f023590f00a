"""Heads start quiet, so that the loss starts near chance; trunks are left alone."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import evenflow as ef
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.planning.build import build_plan
from evenflow.torch.calibrate import planned_moments

from ..tracing import traced


def trunk(*ends):
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), *ends)


def plan_of(model, scheme="auto"):
    trace, parameters = traced(model, torch.zeros(16, 64))
    plan = build_plan(trace.graph, scheme)
    return plan, propagate(trace.graph, planned_moments(plan, trace.graph, parameters))


@pytest.mark.parametrize("ends", [(), (nn.Unflatten(1, (2, 5)),)], ids=["bare", "reshaped"])
def test_a_head_gives_outputs_of_a_half(ends):
    plan, derivation = plan_of(trunk(nn.Linear(128, 10), *ends))
    assert "a head, scaled by" in plan["4.weight"].why
    (output,) = derivation.graph.outputs
    assert derivation.forward[output].second == pytest.approx(0.5)


def test_a_cross_entropy_starts_near_chance():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 64, generator=generator)
    y = torch.randint(0, 10, (512,), generator=generator)
    model = trunk(nn.Linear(128, 10))
    ef.init_(model, x)
    assert F.cross_entropy(model(x), y).item() == pytest.approx(math.log(10) + 0.22, abs=0.1)
    ef.init_(model, x, "he")
    assert F.cross_entropy(model(x), y).item() > math.log(10) + 0.3


@pytest.mark.parametrize(
    "ends",
    [(nn.Linear(128, 128),), (nn.Linear(128, 10), nn.Tanh())],
    ids=["as wide as its input", "with an activation behind"],
)
def test_what_is_no_head_is_left_alone(ends):
    plan, _ = plan_of(trunk(*ends))
    assert "head" not in plan["4.weight"].why


def test_a_quiet_head_is_not_made_louder():
    trace, _ = traced(trunk(nn.Linear(128, 10)), torch.zeros(16, 64))
    (name,) = trace.graph.inputs
    faint = Moments.independent(second=1e-3, shape=(16, 64))
    assert "head" not in build_plan(trace.graph, "auto", inputs={name: faint})["4.weight"].why


def test_other_schemes_know_no_heads():
    plan, _ = plan_of(trunk(nn.Linear(128, 10)), "he")
    assert "head" not in plan["4.weight"].why
