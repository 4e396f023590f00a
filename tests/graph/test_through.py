"""Activations on pairs of elements, against quadrature (``theory.gain``) and drawn values."""

import numpy as np
import pytest

from evenflow.graph.algebra.through import lean_through, leant, slopes, through
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.theory.activations import catalogue, find
from evenflow.theory.gain import gain

SHARES = np.array([1.0, 0.97, 0.8, 0.5, 0.2, 0.0])


def gaussian(q, mean):
    """One axis, whose distances stand for pairs of every correlation from 1 to 0."""
    pairs = mean**2 + (q - mean**2) * SHARES
    axes = Moments.independent(shape=(50,)).axes
    return Moments(mean, pairs, axes)


@pytest.mark.parametrize(("q", "mean"), [(1.0, 0.0), (0.3, 0.2), (4.0, -1.0)])
@pytest.mark.parametrize("name", catalogue())
def test_every_pair_is_as_quadrature_has_it(name, q, mean):
    activation = find(name)
    z, at = gaussian(q, mean), gain(activation, q, mean)
    found = through(z, activation)
    assert found.mean == pytest.approx(at.mean, abs=1e-9)
    assert found.second == pytest.approx(at.second, rel=1e-9)
    expected = [at.shared(s) for s in z.pairs]
    assert found.pairs == pytest.approx(np.array(expected), abs=2e-3 * at.second)
    # A step in the slope has the slowest of all series: it is told less finely.
    expected = [at.shared_backward(s) for s in z.pairs]
    assert slopes(z, activation) == pytest.approx(np.array(expected), abs=0.04 * at.backward)


@pytest.mark.parametrize("name", ["tanh", "gelu", "sin", "softplus"])
def test_negative_correlations_too(name):
    """E[φ(z)φ(z′)], drawn."""
    rng = np.random.default_rng(0)
    z = Moments(0.3, np.array([1.0, 0.09 - 0.6]), Moments.independent(shape=(2,)).axes)
    draws = 400_000
    common, own = rng.standard_normal((2, draws))
    rho = -0.6 / 0.91
    a = 0.3 + 0.91**0.5 * common
    b = 0.3 + 0.91**0.5 * (rho * common + (1 - rho**2) ** 0.5 * own)
    phi = find(name)
    expected = np.mean(phi.function(a) * phi.function(b))
    assert through(z, phi).pairs[1] == pytest.approx(expected, abs=0.005)
    expected = np.mean(phi.derivative(a) * phi.derivative(b))
    assert slopes(z, phi)[1] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["tanh", "relu", "squared_relu"])
def test_norms_that_vary_are_a_mixture(name):
    """Examples whose scale is lognormal: the mean over them, and what their norms then vary by."""
    rng = np.random.default_rng(0)
    spread, units, examples = 0.5, 64, 30_000
    scale = np.exp(
        0.5 * (np.log1p(spread) ** 0.5 * rng.standard_normal(examples) - np.log1p(spread) / 2)
    )
    x = scale[:, None] * rng.standard_normal((examples, units))
    z = Moments(0.0, np.array([[1.0, 0.0], [0.0, 0.0]]), measured(x[:2]).axes, spread=spread)
    phi = find(name)
    found, y = through(z, phi), phi.function(x)
    assert found.mean == pytest.approx(y.mean(), abs=0.01)
    assert found.second == pytest.approx(np.mean(y**2), rel=0.02)
    assert slopes(z, phi).flat[0] == pytest.approx(np.mean(phi.derivative(x) ** 2), rel=0.02)


def test_a_positively_homogeneous_activation_keeps_the_spread():
    z = Moments(0.0, np.array(1.0), (), spread=0.4)
    assert through(z, find("relu")).spread == pytest.approx(0.4, rel=0.05)
    assert through(z, find("hardtanh")).spread < 0.4


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_what_a_slope_lets_through_leans_to_some_values(name, mean):
    """E[δδ′·ẑẑ′]/E[δδ′] of a gradient that has passed φ, drawn."""
    rng = np.random.default_rng(0)
    rho, phi = 0.4, find(name)
    z = Moments(mean, mean**2 + np.array([1.0, rho]), Moments.independent(shape=(2,)).axes)
    a, noise = rng.standard_normal((2, 400_000))
    b = rho * a + (1 - rho**2) ** 0.5 * noise
    slope_a, slope_b = phi.derivative(mean + a), phi.derivative(mean + b)
    expected = [
        np.mean(slope_a**2 * a**2) / np.mean(slope_a**2),
        np.mean(slope_a * a * slope_b * b) / np.mean(slope_a * slope_b),
    ]
    found = leant(z, z.at_nodes - mean, lean_through(z, phi, None))
    assert found == pytest.approx(np.array(expected), abs=0.02)


def test_a_constant_goes_through_as_one():
    found = through(Moments.constant(0.7, (3, 4)), find("tanh"))
    assert found.pairs == pytest.approx(np.full((1, 1), np.tanh(0.7) ** 2))
    assert slopes(Moments.constant(0.7, (3,)), find("tanh")) == pytest.approx(
        np.array([(1 - np.tanh(0.7) ** 2) ** 2])
    )
