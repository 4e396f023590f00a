"""Gains against mpmath: right to 1e-8, and the estimate covers the true error."""

import dataclasses

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_oracle import ORACLES, PARAMETRISED, expected

from evenflow.theory.activations import catalogue, find
from evenflow.theory.expectations import expectations
from evenflow.theory.gain import gain

POINTS = [(1.0, 0.0), (1e-4, 0.0), (0.3, -0.4), (100.0, 2.0), (4.05, -2.0)]
CASES = [(name, {}, oracle) for name, oracle in ORACLES.items()] + list(PARAMETRISED)
IDS = [name + "".join(f"-{v}" for v in params.values()) for name, params, _ in CASES]


def true_errors(found, exact, q: float, mean: float, steps: bool) -> list[float]:
    """Errors of mean, second, backward and q-slope in the terms of ``Gain.error``."""
    if exact.second < 1e-36:  # beyond the oracle's 13 standard deviations
        return [abs(found.mean), found.second]
    q_slope = exact.cross / (mp.mpf(q) - mp.mpf(mean) ** 2) * q / exact.second
    errors = [
        abs(found.mean - exact.mean) / mp.sqrt(exact.second),
        abs(found.second / exact.second - 1),
        abs(found.backward / exact.backward - 1),
        abs(found.forward * q / exact.second - 1),
        abs(found.chi / (exact.backward / exact.second * q) - 1),
    ]
    if not steps:  # the oracle's E[φφ′(z − m)] does not see them
        errors.append(abs(found.q_slope - q_slope) / max(1, abs(q_slope)))
    return [float(error) for error in errors]


@pytest.mark.parametrize(("name", "params", "oracle"), CASES, ids=IDS)
def test_gains_are_right_and_the_estimate_covers_the_error(name, params, oracle) -> None:
    activation = find(name, **params)
    for q, mean in POINTS:
        found = gain(activation, q, mean)
        errors = true_errors(found, expected(oracle, q, mean), q, mean, bool(activation.steps))
        assert max(errors) <= 1e-8, (q, mean, errors)
        assert max(errors) <= found.error <= 1e-8, (q, mean, errors, found.error)


WITH_CLOSED_FORM = [name for name in catalogue() if find(name).closed]


def test_closed_forms_are_there_where_they_exist() -> None:
    assert len(WITH_CLOSED_FORM) == 17


@pytest.mark.parametrize("name", WITH_CLOSED_FORM)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(log_v=st.floats(-4, 2), mean=st.floats(-2, 2))
def test_closed_forms_and_quadrature_agree(name, log_v, mean) -> None:
    activation, variance = find(name), 10**log_v
    numeric = dataclasses.replace(activation, closed=None)
    closed = activation.closed.expectations(mean, variance)
    quadrature = expectations(numeric, mean, variance)
    bound = closed.error + quadrature.error
    scale = max(quadrature.second, 1e-100)
    assert abs(closed.mean - quadrature.mean) <= bound * scale**0.5
    assert abs(closed.second - quadrature.second) <= bound * scale
    assert abs(closed.backward - quadrature.backward) <= bound * max(quadrature.backward, 1e-100)
    if not activation.steps:
        q = variance + mean**2
        slopes = np.array([closed.growth, quadrature.growth]) * q / scale
        assert abs(slopes[0] - slopes[1]) <= 1.001 * bound * max(1, abs(slopes[1]))


def test_deep_in_the_dead_half_of_relu_the_digits_hold() -> None:
    """At 15 to 30 standard deviations, against repeated integrals of the error function."""
    for depth in (15, 20, 30):
        found = gain("relu", q=4 + (2 / depth) ** 2, mean=-2.0)
        with mp.workdps(40):
            scale = mp.sqrt(mp.mpf(found.q) - 4)
            t = 2 / scale
            tail = mp.ncdf(-t)
            second = scale**2 * ((1 + t**2) * tail - t * mp.npdf(t))
        assert found.second == pytest.approx(float(second), rel=1e-8, abs=0)
        assert found.backward == pytest.approx(float(tail), rel=1e-8, abs=0)
        assert found.error < 1e-8


def test_a_variance_that_all_but_cancels_is_not_rounded() -> None:
    """q and mean² agree to 10 digits; a last digit lost there moves the far tail by 1 in 10⁴."""
    mean = 0.9999
    found = gain(find("softshrink", lambd=1.0), q=mean**2 + 1e-10, mean=mean)
    with mp.workdps(40):
        variance = mp.mpf(found.q) - mp.mpf(mean) ** 2
        tail = mp.ncdf(-(1 - mp.mpf(mean)) / mp.sqrt(variance))
    assert found.backward == pytest.approx(float(tail), rel=1e-8, abs=0)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "hardshrink", "sin", "softplus"])
def test_monte_carlo(name) -> None:
    activation, q, mean = find(name), 1.7, 0.4
    z = mean + np.sqrt(q - mean**2) * np.random.default_rng(3).standard_normal(400_000)
    found = gain(activation, q, mean)
    for sample, value in (
        (activation.function(z), found.mean),
        (activation.function(z) ** 2, found.second),
        (activation.derivative(z) ** 2, found.backward),
    ):
        assert abs(sample.mean() - value) < 4.5 * sample.std() / np.sqrt(z.size) + 1e-12
