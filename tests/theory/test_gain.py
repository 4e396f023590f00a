"""Gains: published values, limits, derivatives, bounds, and a real layer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import ActivationError, InputError
from evenflow.theory.activations import catalogue, find
from evenflow.theory.gain import gain


@pytest.mark.parametrize(
    ("name", "forward", "backward", "chi", "q_slope"),
    [
        ("tanh", 1.5925, 1.4674, 1.178, 0.461),
        ("gelu", 1.5335, 1.4811, 1.072, 1.144),
        ("silu", 1.6765, 1.6233, 1.067, 1.173),
        ("mish", 1.4868, 1.4448, 1.059, 1.076),
        ("relu", 1.4142, 1.4142, 1.0, 1.0),
    ],
)
def test_published_gains_at_q_1(name, forward, backward, chi, q_slope) -> None:
    found = gain(name)
    assert round(found.forward_gain, 4) == forward
    assert round(found.backward_gain, 4) == backward
    assert round(found.chi, 3) == chi
    assert round(found.q_slope, 3) == q_slope


def test_relu_is_exact() -> None:
    found = gain("relu")
    assert (found.forward, found.backward, found.chi, found.q_slope) == (0.5, 0.5, 1.0, 1.0)
    assert found.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-15)


def test_selu_keeps_mean_0_and_variance_1() -> None:
    found = gain("selu")
    assert found.mean == pytest.approx(0, abs=1e-7)
    assert found.second == pytest.approx(1, rel=1e-7)


@pytest.mark.parametrize("slope", [0.0, 0.2, -0.5, 1.0])
def test_leaky_relu_halves_one_plus_slope_squared(slope) -> None:
    found = gain(find("leaky_relu", negative_slope=slope), q=3.7)
    assert found.forward == pytest.approx((1 + slope**2) / 2, rel=1e-14)
    assert found.backward == pytest.approx((1 + slope**2) / 2, rel=1e-14)


@pytest.mark.parametrize("name", [name for name in catalogue() if find(name).homogeneous])
def test_homogeneous_gains_do_not_depend_on_q(name) -> None:
    for q in (1e-12, 1e-3, 7.0, 1e9):
        found = gain(name, q)
        assert found.forward == pytest.approx(gain(name).forward, rel=1e-13)
        assert found.q_slope == pytest.approx(1, rel=1e-13)
        assert found.chi == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize("name", catalogue())
def test_small_q_runs_into_the_limit_q_0(name) -> None:
    limit, near = gain(name, 0.0), gain(name, 1e-12)
    assert near.mean == pytest.approx(limit.mean, abs=1e-5)
    assert near.second == pytest.approx(limit.second, abs=1e-5)
    assert near.backward == pytest.approx(limit.backward, abs=1e-5)
    if limit.forward < math.inf:
        assert near.forward == pytest.approx(limit.forward, abs=1e-5)
    if not math.isnan(limit.chi):
        assert near.chi == pytest.approx(limit.chi, abs=1e-5)
        assert near.q_slope == pytest.approx(limit.q_slope, abs=1e-5)


def test_the_limit_q_0_is_glorots_linearisation() -> None:
    assert gain("logistic", 0.0).backward == 1 / 16
    assert gain("tanh", 0.0).forward == gain("tanh", 0.0).backward == 1.0
    assert gain("relu", 0.0).forward == gain("relu", 0.0).backward == 0.5
    assert gain("logistic", 0.0).forward == math.inf
    assert math.isnan(gain("squared_relu", 0.0).chi)


@pytest.mark.parametrize("name", catalogue())
@pytest.mark.parametrize("mean", [-1.3, 0.5, 2.0])
def test_a_constant_input_gives_the_curve_itself(name, mean) -> None:
    activation, at = find(name), np.array([mean])
    found = gain(name, q=mean**2, mean=mean)
    if mean in activation.kinks:  # half of either side: hardshrink steps, softshrink bends
        below, above = activation.function(mean + np.array([-1e-9, 1e-9]))
        assert found.second == pytest.approx((below**2 + above**2) / 2, abs=1e-8)
        assert found.backward == 0.5
        return
    assert found.mean == activation.function(at)[0]
    assert found.second == found.mean**2
    assert found.backward == activation.derivative(at)[0] ** 2
    if found.second > 0:
        near = gain(name, q=mean**2 * (1 + 1e-7), mean=mean)
        assert found.q_slope == pytest.approx(near.q_slope, rel=1e-4, abs=1e-6)


def test_a_constant_input_on_a_kink_has_an_infinite_slope() -> None:
    assert gain("hardtanh", q=1.0, mean=1.0).q_slope == -math.inf
    assert gain("hardtanh", q=1.0 + 1e-12, mean=1.0).q_slope < -1e4


@pytest.mark.parametrize("name", catalogue())
@pytest.mark.parametrize(("q", "mean"), [(0.7, 0.0), (2.0, 0.8), (9.0, -1.0)])
def test_q_slope_is_the_derivative_of_second(name, q, mean) -> None:
    """By central differences; that of hardshrink contains its steps."""
    h = 1e-4
    above, below = (gain(name, q * math.exp(sign * h), mean).second for sign in (1, -1))
    slope = (math.log(above) - math.log(below)) / (2 * h)
    assert gain(name, q, mean).q_slope == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_ratios_are_those_of_the_expectations() -> None:
    found = gain("gelu", q=1.7, mean=0.3)
    assert found.forward == found.second / 1.7
    assert found.chi == pytest.approx(found.backward / found.forward, rel=1e-15)
    assert found.forward_gain == 1 / math.sqrt(found.forward)
    assert found.backward_gain == 1 / math.sqrt(found.backward)
    assert (found.activation, found.q, found.mean_in) == ("gelu", 1.7, 0.3)


def test_an_activation_a_name_and_a_callable_agree() -> None:
    by_name = gain("tanh", 0.6, 0.2)
    assert gain(find("tanh"), 0.6, 0.2) == by_name
    by_callable = gain(np.tanh, 0.6, 0.2)
    assert by_callable.second == pytest.approx(by_name.second, rel=1e-12)
    assert by_callable.backward == pytest.approx(by_name.backward, rel=by_callable.error)


@pytest.mark.parametrize(
    ("q", "mean", "says"),
    [
        (-1.0, 0.0, "no second moment"),
        (math.nan, 0.0, "no second moment"),
        (math.inf, 0.0, "no second moment"),
        (1.0, math.nan, "no second moment"),
        (1.0, 1.1, "below mean"),
    ],
)
def test_impossible_operating_points_are_refused(q, mean, says) -> None:
    with pytest.raises(InputError, match=says):
        gain("tanh", q, mean)


@pytest.mark.parametrize("name", catalogue())
def test_extreme_operating_points_keep_their_order(name) -> None:
    for q in (5e-324, 1e-300, 1e-100, 1e-8, 1e4, 1e30, 1e75):
        for tilt in (0.0, 1e-3, -0.99968, 1 - 1e-9):  # −0.99968: GELU all but underflows at q = 1e4
            mean = tilt * math.sqrt(q)
            found = gain(name, q, mean)
            assert 0 <= found.mean**2 <= found.second < math.inf
            assert 0 <= found.backward < math.inf
            if mean**2 < q:
                s = mean**2 + 0.3 * (q - mean**2)
                assert found.mean**2 <= found.shared(s) <= found.second
                assert 0 <= found.shared_backward(s) <= found.backward


def test_a_signal_that_has_exploded_is_said_to_have() -> None:
    with pytest.raises(ActivationError, match=r"tanh: its input's second moment q = 1e\+77"):
        gain("tanh", q=1e77)


def test_rounding_of_q_is_forgiven() -> None:
    mean = 1.1
    assert gain("tanh", q=mean**2 * (1 - 1e-12), mean=mean).second == pytest.approx(
        math.tanh(1.1) ** 2, rel=1e-12
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(catalogue()),
    log_q=st.floats(-3, 1.5),
    correlation=st.floats(0, 1),
    tilt=st.floats(-0.95, 0.95),
)
def test_mean_squared_shared_and_second_stay_in_order(name, log_q, correlation, tilt) -> None:
    q = 10**log_q
    mean = tilt * math.sqrt(q)
    found = gain(name, q, mean)
    s = min(mean**2 + correlation * (q - mean**2), q)
    shared, slope = found.shared(s), found.shared_backward(s)
    assert found.mean**2 <= shared <= found.second
    assert 0 <= slope <= found.backward
    more = min(s + 0.1 * (q - mean**2), q)
    assert found.shared(more) >= shared * (1 - 1e-9)


def test_a_real_layer_does_what_the_gain_says() -> None:
    """Two layers of width 3000: second moments and correlation forwards, gradients backwards."""
    rng = np.random.default_rng(11)
    n, q, c = 3000, 1.4, 0.6
    for name in ("tanh", "relu", "silu", "softsign", "logistic"):
        activation, at = find(name), gain(name, q)
        first = math.sqrt(q) * rng.standard_normal(n)
        second = c * first + math.sqrt(1 - c * c) * math.sqrt(q) * rng.standard_normal(n)
        weights = rng.standard_normal((n, n)) / math.sqrt(n)
        z1, z2 = (weights @ activation.function(z) for z in (first, second))
        assert np.mean(z1**2) == pytest.approx(at.second, rel=0.12)
        assert np.mean(z1 * z2) == pytest.approx(at.shared(c * q), rel=0.12)
        back = (weights.T @ rng.standard_normal(n)) * activation.derivative(first)
        assert np.mean(back**2) == pytest.approx(at.backward, rel=0.12)
