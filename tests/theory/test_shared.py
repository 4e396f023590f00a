"""The shared part: closed forms, tensor quadrature, Monte Carlo, and its ends."""

import dataclasses
import math

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.theory.activations import catalogue, find
from evenflow.theory.gain import gain

CORRELATIONS = [1e-6, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9]
WITH_CLOSED_FORM = [name for name in catalogue() if find(name).closed]
SMOOTH = ["tanh", "logistic", "silu", "mish", "softplus", "logsigmoid", "gelu_tanh", "tanhshrink"]


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize("q", [1e-3, 1.0, 50.0])
def test_relu_is_the_arc_cosine_kernel(q, c) -> None:
    """Cho and Saul 2009."""
    angle = math.acos(c)
    second = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * c)
    slope = (math.pi - angle) / (2 * math.pi)
    assert gain("relu", q).shared(c * q) == pytest.approx(second, rel=1e-9)
    assert gain("relu", q).shared_backward(c * q) == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize("q", [1e-3, 1.0, 50.0])
def test_sine(q, c) -> None:
    """E[sin z₁ sin z₂] = e⁻q sinh(cq), with cos for the slopes."""
    up, down = math.exp(-q * (1 - c)) / 2, math.exp(-q * (1 + c)) / 2
    assert gain("sin", q).shared(c * q) == pytest.approx(
        math.exp(-q * (1 + c)) * math.expm1(2 * q * c) / 2, rel=1e-9
    )
    assert gain("sin", q).shared_backward(c * q) == pytest.approx(up + down, rel=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("q", "mean"), [(0.4, 0.0), (1.0, 0.5)])
def test_smooth_activations_against_tensor_quadrature(name, q, mean) -> None:
    """E[φ(z₁)φ(z₂)] on a grid of 120 × 120 Gauss–Hermite points."""
    points, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    activation, found, variance = find(name), gain(name, q, mean), q - mean**2
    for c in (0.05, 0.5, 0.95):
        z1 = mean + math.sqrt(variance) * points[:, None]
        z2 = mean + math.sqrt(variance) * (
            c * points[:, None] + math.sqrt(1 - c * c) * points[None]
        )
        s = mean**2 + c * variance
        for curve, value in (
            (activation.function, found.shared(s)),
            (activation.derivative, found.shared_backward(s)),
        ):
            exact = weights @ (curve(z1) * curve(z2)) @ weights
            assert value == pytest.approx(float(exact), rel=2e-8)


@pytest.mark.parametrize("name", WITH_CLOSED_FORM)
def test_closed_and_numerical_private_averages_agree(name) -> None:
    activation = find(name)
    numeric = dataclasses.replace(activation, closed=None)
    for q, mean in ((0.05, 0.0), (1.0, 0.4), (30.0, 2.0)):
        closed, by_rule = gain(activation, q, mean), gain(numeric, q, mean)
        for c in (0.02, 0.6, 0.99):
            s = mean**2 + c * (q - mean**2)
            assert closed.shared(s) == pytest.approx(by_rule.shared(s), rel=1e-8)
            assert closed.shared_backward(s) == pytest.approx(by_rule.shared_backward(s), rel=1e-8)


@pytest.mark.parametrize("name", catalogue())
def test_the_ends_are_mean_squared_and_second(name) -> None:
    found = gain(name, q=1.3, mean=0.4)
    assert found.shared(0.4**2) == found.mean**2
    assert found.shared(1.3) == found.second
    assert found.shared_backward(1.3) == found.backward
    if not find(name).steps:
        assert found.shared(1.3 * (1 - 1e-10)) == pytest.approx(found.second, rel=1e-8)


@pytest.mark.parametrize("name", catalogue())
def test_the_map_is_convex(name) -> None:
    """Its coefficients in the correlation are squares."""
    found = gain(name, q=2.0)
    values = np.array([found.shared(2.0 * c) for c in np.linspace(0, 1, 9)])
    assert np.diff(values, n=2).min() >= -1e-9 * found.second


@pytest.mark.parametrize("name", [name for name in catalogue() if not find(name).steps])
def test_its_derivative_is_the_shared_slope(name) -> None:
    """Price's theorem: d E[φ(z₁)φ(z₂)]/ds = E[φ′(z₁)φ′(z₂)]."""
    found, s, h = gain(name, q=1.5), 0.8, 1e-4
    difference = (found.shared(s + h) - found.shared(s - h)) / (2 * h)
    assert found.shared_backward(s) == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["softsign", "hardshrink", "mish"])
def test_monte_carlo(name) -> None:
    rng, n = np.random.default_rng(5), 400_000
    q, mean, s = 2.0, 0.6, 1.1
    common = mean + math.sqrt(s - mean**2) * rng.standard_normal(n)
    z1, z2 = (common + math.sqrt(q - s) * rng.standard_normal(n) for _ in range(2))
    activation, found = find(name), gain(name, q, mean)
    for curve, value in (
        (activation.function, found.shared(s)),
        (activation.derivative, found.shared_backward(s)),
    ):
        sample = curve(z1) * curve(z2)
        assert abs(sample.mean() - value) < 4.5 * sample.std() / math.sqrt(n)


@pytest.mark.parametrize("s", [0.1, 1.01, math.nan, -1.0])
def test_shared_parts_out_of_range_are_refused(s) -> None:
    found = gain("tanh", q=1.0, mean=0.5)
    for function in (found.shared, found.shared_backward):
        with pytest.raises(InputError, match="a shared part of"):
            function(s)
