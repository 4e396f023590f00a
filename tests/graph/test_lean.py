"""How a gradient depends on its value: behind slopes, sums, maxima, norms."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from evenflow.graph.algebra.through import lean_through, leant, slopes
from evenflow.graph.laws.law import hermite
from evenflow.graph.laws.lean import mixed, of_slope, of_term, turned
from evenflow.graph.rules.pooling import chance_to_be_largest
from evenflow.theory.activations import find

from .laws import white
from .monte_carlo import assert_within, network_errors
from .test_law import RELU, pair, rectified, stream

T, WEIGHTS = hermite()[0], hermite()[1][:, 0]


def profile(lean):
    """E[δ²] at the nodes, up to its size."""
    return lean.profile[0]


def test_a_slope_leaves_a_gradient_where_it_is_not_zero():
    lean = lean_through(pair(0.0), RELU, None)
    assert profile(lean) == pytest.approx(np.where(T > 0, 2.0, 0.0), abs=1e-9)
    assert profile(turned(lean, -1.0)) == pytest.approx(np.where(T < 0, 2.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_a_term_sees_how_likely_the_sum_is_open(sigma):
    z, x = stream(sigma), rectified()
    lean = of_term(lean_through(z, RELU, None), z.at_nodes, x.at_nodes, sigma * T)
    open_ = norm.cdf(x.at_nodes / sigma)
    expected = open_ / (WEIGHTS @ open_)
    near = np.abs(T) < 6
    assert profile(lean)[near] == pytest.approx(expected[near], abs=0.03)
    assert WEIGHTS @ np.abs(profile(lean) - expected) < 0.01


def test_a_gradient_passes_two_slopes_as_often_as_both_are_open():
    """P(g > 0 and relu(g) + n > 0) = E[Φ(g); g > 0] = 3/8."""
    z, x = stream(1.0), rectified()
    lean = of_term(lean_through(z, RELU, None), z.at_nodes, x.at_nodes, T)
    passed = slopes(z, RELU).flat[0] * slopes(pair(0.0), RELU, lean).flat[0]
    assert passed == pytest.approx(3 / 8, rel=5e-3)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_slopes_of_pairs_under_a_lean_are_those_that_are_drawn(name):
    """Both readers of a pair of values have slopes of their own; what they send meets a third."""
    rng, rho, phi = np.random.default_rng(0), 0.6, find(name)
    a, b = rng.standard_normal((2, 1_000_000))
    b = rho * a + (1 - rho**2) ** 0.5 * b
    first, slope = np.exp(a / 2) + 1, phi.derivative
    other = np.exp(b / 2) + 1
    lean = of_slope(lambda: np.exp(T / 2) + 1)
    found = slopes(pair(rho), phi, lean)
    assert found[0] == pytest.approx(np.mean((first * slope(a)) ** 2) / np.mean(first**2), rel=0.01)
    assert found[1] == pytest.approx(
        np.mean(first * slope(a) * other * slope(b)) / np.mean(first * other), rel=0.01
    )


def test_what_does_not_lean_evens_what_does():
    lean = mixed([(3.0, lean_through(pair(0.0), RELU, None)), (1.0, None)])
    assert profile(lean) == pytest.approx(np.where(T > 0, 1.75, 0.25), abs=1e-9)
    assert mixed([(1.0, None), (2.0, None)]) is None


@pytest.mark.parametrize("count", [2, 4, 9])
def test_the_largest_of_independent_numbers(count):
    chance = chance_to_be_largest(count, 0.0)
    assert chance == pytest.approx(norm.cdf(T) ** (count - 1))
    assert (WEIGHTS * chance)[T > 0].sum() * count == pytest.approx(1 - 0.5**count, rel=1e-3)


@pytest.mark.parametrize("alike", [0.5, 0.95])
def test_the_largest_of_numbers_that_are_alike(alike):
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((400_000, 1))
    x = alike**0.5 * shared + (1 - alike) ** 0.5 * rng.standard_normal((400_000, 4))
    chance = chance_to_be_largest(4, alike)
    share = (WEIGHTS * chance)[T > 0].sum() / (WEIGHTS @ chance)
    assert share == pytest.approx((x.max(axis=1) > 0).mean(), abs=0.003)


def test_products_with_values_that_a_gradient_leans_on():
    """E[δ²x̂²]/E[δ²] = 1 behind a rectifier, E[δδ′x̂x̂′]/E[δδ′] = 2/π of independent pairs."""
    x = pair(0.0)
    assert leant(x, x.at_nodes, lean_through(x, RELU, None)) == pytest.approx(
        np.array([1.0, 2 / np.pi]), rel=2e-3
    )


class Readers(nn.Module):
    """A rectified tensor that normalised rectifiers read, and their sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(128, 128, bias=False)
        self.readers = nn.ModuleList(nn.Linear(128, 128, bias=False) for _ in range(3))
        self.norm = nn.BatchNorm1d(128, affine=False)

    def forward(self, x):
        x = torch.relu(self.first(x))
        y = torch.relu(self.norm(x))
        return x + sum(reader(y) for reader in self.readers)


def test_readers_of_a_rectified_tensor_send_back_where_it_is_open():
    found = network_errors(Readers(), white((64, 128), 1.0), draws=24)
    assert_within(found, forward=(0.005, 0.02), backward=(0.005, 0.02))
