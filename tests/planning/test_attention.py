"""Queries are scaled where attention leaves its temperature to the initialisation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.planning.build import build_plan

from ..tracing import traced

WIDTH, HEADS = 64, 2


class Attention(nn.Module):
    def __init__(self, scale, *, fused, normalised=True):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if normalised else nn.Identity()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.scale, self.fused = scale, fused

    def forward(self, x):
        x = self.norm(x)
        q, k, v = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        else:
            mixed = torch.softmax(q @ k.transpose(-1, -2) * self.scale, -1) @ v
        return self.o(mixed.transpose(1, 2).flatten(2))


def plan_of(model):
    trace, _ = traced(model, torch.zeros(4, 16, WIDTH))
    return build_plan(trace.graph, "auto")


def variance(plan, name):
    return plan[name].distribution.second_moment


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "written out"])
def test_unscaled_logits_are_brought_to_variance_one(fused):
    plan = plan_of(Attention(1.0, fused=fused))
    assert variance(plan, "q.weight") == pytest.approx(HEADS / WIDTH / WIDTH, rel=0.05)
    assert "makes queries, scaled by 0.17" in plan["q.weight"].why
    assert variance(plan, "k.weight") == pytest.approx(1 / WIDTH)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "written out"])
def test_scaled_logits_are_left_alone(fused):
    plan = plan_of(Attention((WIDTH / HEADS) ** -0.5, fused=fused))
    assert variance(plan, "q.weight") == pytest.approx(1 / WIDTH)
    assert "queries" not in plan["q.weight"].why


def test_a_classifier_s_softmax_is_no_attention():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(WIDTH, 10)

        def forward(self, x):
            return torch.softmax(4 * self.head(x), -1)

    assert "queries" not in plan_of(Classifier())["head.weight"].why
