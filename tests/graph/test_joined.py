"""Tensors joined of parts of different size and law: kept apart until something mixes them."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.laws.joined import joined, parts_of, summed, with_parts
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors

ROLES = ("examples", "units", "positions", "positions")


def part(second, channels):
    return Moments.independent(0.3, second, (4, channels, 5, 5), ROLES)


def test_joined_parts_have_the_mean_of_their_squares():
    whole = with_parts([part(1.0, 2), part(4.0, 6)], 1)
    assert whole.shape == (4, 8, 5, 5)
    assert whole.second == pytest.approx((2 * 1 + 6 * 4) / 8)
    assert [x.second for x in parts_of(whole, 1)] == [1.0, 4.0]
    assert parts_of(whole, 2) == (whole,)


def test_norms_of_parts_go_up_and_down_together():
    parts = [Moments(0.0, np.array([1.0, 0.0]), part(1.0, 2).axes[1:2], spread=0.4) for _ in "ab"]
    assert joined(parts, 0).spread == pytest.approx(0.4)


def test_positions_have_norms_of_their_own():
    parts = [Moments(0.0, np.array([1.0, 0.0]), part(1.0, 2).axes[2:3], spread=0.4) for _ in "ab"]
    assert joined(parts, 0).spread == 0


def test_gradients_of_parts_add_part_by_part():
    first = with_parts([part(1.0, 2), part(4.0, 6)], 1)
    alike = Moments.independent(0.0, 2.0, (4, 8, 5, 5), ROLES)
    total = summed(first, alike)
    assert [x.second for x in parts_of(total, 1)] == [3.0, 6.0]
    assert total.second == pytest.approx((2 * 3 + 6 * 6) / 8)


class Dense(nn.Module):
    """A block of DenseNet: norms and rectifiers of what was joined."""

    def __init__(self, pool):
        super().__init__()
        self.first = nn.Conv2d(16, 96, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(96 + 32 * i, affine=False) for i in range(4))
        self.layers = nn.ModuleList(
            nn.Conv2d(96 + 32 * i, 32, 3, padding=1, bias=False) for i in range(3)
        )
        self.pool, self.head = pool, nn.Conv2d(192, 16, 1)

    def forward(self, x):
        x = 3 * torch.relu(self.first(x))
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = torch.cat([x, layer(torch.relu(norm(x)))], 1)
        return self.head(self.pool(torch.relu(self.norms[-1](x))))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2)], ids=["maximum", "mean"])
def test_a_dense_block_both_ways(pool):
    found = network_errors(Dense(pool), white((8, 16, 8, 8), 1.0), draws=10)
    assert_within(found, forward=(0.01, 0.04), backward=(0.02, 0.06))


def test_a_norm_of_joined_channels_is_the_norm_of_each():
    trace, parameters = traced(Dense(nn.AvgPool2d(2)), torch.zeros(8, 16, 8, 8))
    known = {
        name: Moments.independent(0.0, 0.01, value.shape)
        for name, value in parameters.tensors.items()
    }
    inputs = dict.fromkeys(trace.graph.inputs, white((8, 16, 8, 8), 1.0).moments)
    derived = propagate(trace.graph, known, inputs)
    norms = [n.name for n in trace.graph.nodes if n.op == "batch_norm"]
    for name, count in zip(norms[1:], (2, 3, 4), strict=True):
        parts = parts_of(derived.forward[name], 1)
        assert len(parts) == count
        assert [x.second for x in parts] == pytest.approx([1.0] * count, rel=1e-3)
    read = trace.graph.node(norms[-1]).arguments["input"].name  # by nothing else
    parts, sent = (parts_of(each[read], 1) for each in (derived.forward, derived.backward))
    for value, gradient in zip(parts[1:], sent[1:], strict=True):
        size = gradient.second * value.variance / (sent[1].second * parts[1].variance)
        assert size == pytest.approx(1.0, rel=0.05)  # each divided by its own σ
    assert parts[0].variance < parts[1].variance / 5
    assert sent[0].second > sent[1].second * 4
