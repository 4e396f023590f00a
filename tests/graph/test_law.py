"""How elements are distributed: through sums, activations, mixtures, pools; and where none is."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn

from evenflow.graph.algebra.through import law_through, operating, slopes, through
from evenflow.graph.laws.law import Law, hermite, mixed_law, summed_law, underlying
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.theory.activations import find

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors

RELU = find("relu")
PAIR = Moments.independent(shape=(2,)).axes


def pair(correlation, mean=0.0, variance=1.0, law=None):
    """Two numbers of this law and correlation."""
    return Moments(mean, mean**2 + variance * np.array([1.0, correlation]), PAIR, law=law)


def rectified(correlation=0.0):
    """relu(g), g standard normal."""
    g = pair(correlation)
    behind = through(g, RELU)
    return Moments(behind.mean, behind.pairs, PAIR, law=law_through(g, RELU))


def stream(sigma, correlation=0.0):
    """relu(g) + σ·n, the numbers of each pair as alike."""
    x, n = rectified(correlation), pair(correlation).scaled(sigma)
    total = x.plus(n)
    law = summed_law((x.deviation, x.law), (n.deviation, None))
    return Moments(total.mean, total.pairs, PAIR, law=law)


def of_stream(function, sigma):
    """E of a function of relu(g) + σ·n."""

    def over_n(x):
        steps = np.array([-x / sigma]) if abs(x) < 8 * sigma else None
        return quad(lambda n: function(x + sigma * n) * norm.pdf(n), -9, 9, points=steps)[0]

    positive = quad(lambda g: over_n(g) * norm.pdf(g), 0, 9, limit=100)[0]
    return positive + over_n(0.0) / 2


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_a_rectifier_of_a_rectified_and_a_normal_tensor(sigma):
    at = operating(stream(sigma), RELU)
    assert at.mean == pytest.approx(of_stream(lambda z: max(z, 0.0), sigma), rel=2e-3)
    assert at.second == pytest.approx(of_stream(lambda z: max(z, 0.0) ** 2, sigma), rel=2e-3)
    assert at.backward == pytest.approx(of_stream(lambda z: float(z > 0), sigma), rel=3e-3)
    normal = operating(Moments(stream(sigma).mean, stream(sigma).pairs, PAIR), RELU)
    assert abs(normal.mean / at.mean - 1) > 0.01  # what a normal tensor of these moments would give


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_pairs_of_a_stream_are_those_that_are_drawn(correlation):
    rng = np.random.default_rng(0)
    a, b, n, m = rng.standard_normal((4, 1_000_000))
    rest = (1 - correlation**2) ** 0.5
    b, m = correlation * a + rest * b, correlation * n + rest * m
    z, y = np.maximum(a, 0) + 0.7 * n, np.maximum(b, 0) + 0.7 * m
    ours = stream(0.7, correlation)
    assert through(ours, RELU).pairs[1] == pytest.approx(
        np.mean(np.maximum(z, 0) * np.maximum(y, 0)), rel=0.01
    )
    assert slopes(ours, RELU)[1] == pytest.approx(np.mean((z > 0) & (y > 0)), rel=0.01)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.7, 0.95])
def test_the_correlation_behind_rectified_numbers_is_found(correlation):
    x = rectified(correlation)
    seen = (x.pairs[1] - x.mean**2) / x.variance
    assert underlying(np.array(seen), x.law, x.law) == pytest.approx(correlation, abs=2e-3)


def test_a_sum_of_normals_is_normal():
    assert summed_law((1.0, None), (2.0, None)) is None
    nearly = summed_law((1.0, Law(lambda: hermite()[0])), (0.7, None))
    near = np.abs(hermite()[0]) < 4
    assert nearly.values[near] == pytest.approx(hermite()[0][near], abs=0.01)


def test_what_has_no_size_does_not_change_a_law():
    law = rectified().law
    assert summed_law((1.0, law), (0.0, None)) is law


def test_a_mixture_has_the_moments_of_its_parts():
    law = mixed_law([(1.0, -1.0, 0.5, None), (3.0, 2.0, 1.0, rectified().law)])
    weights, h = hermite()[1][:, 0], law.values
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal(750_000), 0)
    x = 2.0 + (x - x.mean()) / x.std()
    drawn = np.concatenate([-1.0 + 0.5 * rng.standard_normal(250_000), x])
    drawn = (drawn - drawn.mean()) / drawn.std()
    for power in (3, 4):
        assert weights @ h**power == pytest.approx(np.mean(drawn**power), abs=0.02)


def test_minus_a_tensor_has_its_law_turned_round():
    x = rectified().scaled(-2.0)
    weights = hermite()[1][:, 0]
    assert weights @ np.minimum(x.at_nodes, 0) == pytest.approx(x.mean, rel=1e-3)
    assert x.at_nodes.max() == pytest.approx(0.0, abs=1e-4)


class Everything(nn.Module):
    """Laws on their way: made, moved, added, mixed, and lost in sums of many terms."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, x):
        z = torch.relu(self.first(x))
        y = -torch.nn.functional.max_pool2d(z.permute(0, 1, 3, 2), 2)
        total = self.norm(y + self.second(y))
        both = torch.cat([total, y], 2)
        return self.head(both.mean((2, 3))), torch.softmax(both.flatten(1), 1), self.second(z) * z


LAWFUL = {"activation", "max_pool2d", "permute", "neg", "add", "batch_norm", "cat", "flatten"}


def test_a_law_is_there_where_a_rule_says_so_and_nowhere_else():
    trace, parameters = traced(Everything(), torch.zeros(2, 3, 8, 8))
    known = {
        name: Moments.independent(float("weight" in name and "norm" in name), 1.0, value.shape)
        for name, value in parameters.tensors.items()
    }
    derived = propagate(
        trace.graph, known, {n: white((2, 3, 8, 8), 1.0).moments for n in trace.graph.inputs}
    )
    nodes = [node for node in trace.graph.nodes if node.name in derived.forward]
    lawful = {node.op for node in nodes if derived.forward[node.name].law is not None}
    ops = {node.op for node in nodes}
    assert lawful == LAWFUL & ops
    assert {"conv2d", "mean", "linear", "softmax", "mul"} <= ops - lawful
    assert all(found.law is None for found in derived.backward.values())


class Stream(nn.Module):
    """A residual stream of rectifiers, as ResNets have."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(128, 128, bias=False),
                nn.BatchNorm1d(128, affine=False),
                nn.ReLU(),
                nn.Linear(128, 128, bias=False),
                nn.BatchNorm1d(128, affine=False),
            )
            for _ in range(6)
        )

    def forward(self, x):
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


def test_a_residual_stream_of_rectifiers_both_ways():
    found = network_errors(Stream(), white((64, 128), 1.0), draws=12)
    assert_within(found, forward=(0.005, 0.02), backward=(0.01, 0.03))
