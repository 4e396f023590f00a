"""The integrator: exact on polynomials, refining where the two rules disagree, honest about it."""

import math

import numpy as np
import pytest

from evenflow.theory.normal import density, distribution, interval_moments
from evenflow.theory.quadrature import MISFIT, POINTS, WEIGHTS, integrate


@pytest.mark.parametrize("power", range(0, 40, 2))
def test_one_panel_is_exact_up_to_degree_39(power) -> None:
    assert WEIGHTS @ POINTS**power == pytest.approx(2 / (power + 1), rel=1e-13)


def test_degree_40_is_past_it() -> None:
    """Otherwise the test above could not tell this rule from any other."""
    assert abs(WEIGHTS @ POINTS**40 - 2 / 41) > 1e-13


def test_the_misfit_sees_degree_18_and_nothing_below() -> None:
    for degree in range(18):
        assert np.abs(POINTS**degree @ MISFIT).max() < 1e-14
    assert np.abs(POINTS**18 @ MISFIT).max() > 1e-6


@pytest.mark.parametrize("kind", ["kink", "step", "bend"])
def test_the_estimate_covers_singular_points_wherever_they_hide(kind) -> None:
    function, integral = {
        "kink": (lambda t, c: np.abs(t - c), lambda c: 1 + c * c),
        "step": (lambda t, c: (t > c) * 1.0, lambda c: 1 - c),
        "bend": (lambda t, c: np.maximum(t - c, 0) ** 2, lambda c: (1 - c) ** 3 / 3),
    }[kind]
    for c in np.random.default_rng(1).uniform(-0.99, 0.99, 300):
        result = integrate(lambda t, c=c: function(t, c)[None], np.array([-1.0, 1.0]))
        assert abs(result.value[0] - integral(c)) <= result.error[0] + 1e-14
        assert result.error[0] <= 1e-9


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (lambda t: np.exp(t), math.e - 1 / math.e),
        (lambda t: np.abs(t - 0.1234567), ((1 - 0.1234567) ** 2 + 1.1234567**2) / 2),
        (lambda t: (t > 0.3) * 1.0, 0.7),
        (lambda t: np.cos(200 * t), math.sin(200) / 100),
        (lambda t: 1 / (1e-6 + t * t), 2e3 * math.atan(1e3)),
    ],
)
def test_kinks_steps_waves_and_peaks_are_refined(function, exact) -> None:
    result = integrate(lambda t: function(t)[None], np.array([-1.0, 1.0]))
    true = abs(result.value[0] - exact)
    assert true <= 1e-9 * result.size[0]
    assert true <= result.error[0] + 1e-14 * result.size[0]


def test_where_refining_has_to_stop_the_error_says_so() -> None:
    noise = np.random.default_rng(0)
    result = integrate(lambda t: noise.random(t.shape)[None], np.array([0.0, 1.0]))
    assert result.error[0] > 1e-3
    assert result.value[0] == pytest.approx(0.5, abs=0.05)


def test_panels_are_bounded() -> None:
    seen = []

    def step(t):
        seen.append(t.shape[0])
        return np.sign(np.sin(1e4 * t))[None]

    integrate(step, np.array([0.0, 1.0]), most_panels=64)
    assert sum(seen) < 200


def test_infinite_values_come_back_as_they_are() -> None:
    with np.errstate(invalid="ignore"):
        result = integrate(lambda t: np.full(t.shape, np.inf)[None], np.array([0.0, 1.0]))
    assert not np.isfinite(result.value[0])


@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (0.0, math.inf), (6.0, 7.0), (-math.inf, -30.0)])
def test_interval_moments(bounds) -> None:
    low, high = bounds
    edges = np.linspace(max(low, -39.0), min(high, 39.0), 40)
    powers = np.arange(5)
    exact = integrate(lambda t: np.stack([t**k * density(t) for k in powers]), edges).value
    np.testing.assert_allclose(interval_moments(low, high, 4)[:2], exact[:2], rtol=1e-12)
    np.testing.assert_allclose(interval_moments(low, high, 4), exact, rtol=1e-8)


def test_distribution_keeps_its_lower_tail() -> None:
    assert distribution(-30.0) == pytest.approx(4.906713927148187e-198, rel=1e-12, abs=0)
