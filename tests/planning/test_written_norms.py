"""Normalisations written out by hand: their scale is one and their shift is zero."""

import pytest
import torch
from torch import nn

from evenflow.planning.build import build_plan
from evenflow.planning.distributions import Constant

from ..tracing import traced


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class LayerNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight + self.bias


class BareThenScaled(nn.Module):
    """As the library's without its parameters, which come by hand."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return self.norm(x) * self.weight + self.bias


class Scaled(nn.Module):
    """No normalisation: a scale of its own, whose size means something."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x):
        return x * self.weight


def plan_of(norm):
    trace, _ = traced(nn.Sequential(nn.Linear(16, 16), norm(16)), torch.zeros(4, 16))
    return build_plan(trace.graph, "auto")


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm, BareThenScaled])
def test_scale_and_shift_are_neutral(norm):
    plan = plan_of(norm)
    assert plan["1.weight"].distribution == Constant(1.0)
    assert plan["1.weight"].why == "scale of a normalisation: neutral"
    if norm is not RMSNorm:
        assert plan["1.bias"].distribution == Constant(0.0)


def test_any_other_scale_is_left_as_found():
    assert plan_of(Scaled)["1.weight"].distribution is None
