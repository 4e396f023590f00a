"""Callables as activations: kinks found, slopes taken, and clear words for what is none."""

import math

import numpy as np
import pytest
from scipy.special import erf

from evenflow.errors import ActivationError
from evenflow.theory.activations import find, from_callable
from evenflow.theory.gain import gain

ODD = 0.371234567891234

TWINS = [
    (np.tanh, find("tanh")),
    (lambda z: np.maximum(z, 0), find("relu")),
    (lambda z: np.where(z > 0, z, 0.2 * z), find("leaky_relu", negative_slope=0.2)),
    (lambda z: 0.5 * z * (1 + erf(z / math.sqrt(2))), find("gelu")),
    (lambda z: z / (1 + np.exp(-z)), find("silu")),
    (lambda z: np.log(1 + np.exp(z)), find("softplus")),
    (lambda z: np.clip(z, -1, 1), find("hardtanh")),
    (lambda z: z * np.clip(z + 3, 0, 6) / 6, find("hardswish")),
    (lambda z: np.where(abs(z) > ODD, z, 0), find("hardshrink", lambd=ODD)),
    (lambda z: np.sign(z) * np.maximum(abs(z) - ODD, 0), find("softshrink", lambd=ODD)),
    (lambda z: np.where(z > 0, z, np.expm1(z)), find("elu")),
    (lambda z: np.sin(z), find("sin")),
]


@pytest.mark.parametrize(("function", "twin"), TWINS, ids=[twin.name for _, twin in TWINS])
@pytest.mark.parametrize(("q", "mean"), [(1.0, 0.0), (0.3, 0.5), (20.0, -1.0)])
def test_a_callable_without_derivative_equals_its_twin(function, twin, q, mean) -> None:
    activation = from_callable(function)
    found, exact = gain(activation, q, mean), gain(twin, q, mean)
    assert found.error < 1e-8
    assert found.second == pytest.approx(exact.second, rel=1e-9)
    assert found.backward == pytest.approx(exact.backward, rel=found.error)
    assert abs(found.q_slope - exact.q_slope) <= found.error * max(1, abs(exact.q_slope))
    s = mean**2 + 0.4 * (q - mean**2)
    assert found.shared(s) == pytest.approx(exact.shared(s), rel=1e-8)
    assert found.shared_backward(s) == pytest.approx(exact.shared_backward(s), rel=1e-8)
    assert activation.homogeneous == twin.homogeneous
    np.testing.assert_allclose(activation.flat, twin.flat, atol=1e-9)


def test_shifted_absolute_value() -> None:
    activation = from_callable(lambda z: np.abs(z) - 0.5, name="abs − ½")
    found = gain(activation)
    assert activation.kinks == (0.0,)
    assert found.activation == "abs − ½"
    assert found.mean == pytest.approx(math.sqrt(2 / math.pi) - 0.5, rel=1e-12)
    assert found.second == pytest.approx(1.25 - math.sqrt(2 / math.pi), rel=1e-12)
    assert found.backward == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("place", [0.0, 0.32, 1 / math.pi, -7.000001, 41.4142, -63.9])
def test_kinks_are_found_wherever_they_lie(place) -> None:
    for function in (
        lambda z: np.abs(z - place),
        lambda z: np.where(z > place, z + 1, z),
        lambda z: np.tanh(z) + np.maximum(z - place, 0),
    ):
        np.testing.assert_allclose(from_callable(function).kinks, [place], atol=1e-9)


def test_smooth_callables_have_none() -> None:
    for function in (np.tanh, np.sin, np.exp, lambda z: z**3, lambda z: np.sin(30 * z)):
        assert from_callable(function).kinks == ()


def test_a_derivative_that_is_given_is_used() -> None:
    activation = from_callable(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
    assert activation.slope_error == 0
    assert gain(activation).backward == pytest.approx(gain("tanh").backward, rel=1e-13)
    surrogate = from_callable(np.sign, lambda z: (abs(z) < 1) * 1.0)  # straight-through
    assert surrogate.kinks == (-1.0, 0.0, 1.0)
    assert gain(surrogate).backward == pytest.approx(math.erf(math.sqrt(0.5)), rel=1e-12)


def test_a_sign_function_has_no_gradient() -> None:
    found = gain(np.sign)
    assert (found.backward, found.chi) == (0.0, 0.0)
    assert found.backward_gain == math.inf
    assert found.shared(0.5) == pytest.approx(2 / math.pi * math.asin(0.5), rel=1e-9)


def test_integers_and_booleans_count_as_numbers() -> None:
    assert gain(lambda z: z > 0).second == pytest.approx(0.5, rel=1e-12)
    assert gain(lambda z: np.sign(z).astype(int)).second == pytest.approx(1, rel=1e-12)


def test_single_precision_is_too_noisy_for_a_numerical_slope_and_says_so() -> None:
    found = gain(lambda z: np.tanh(z.astype(np.float32)))
    assert found.error == math.inf
    assert found.second == pytest.approx(gain("tanh").second, rel=1e-6)


def test_many_steps_are_integrated_all_the_same() -> None:
    found = gain(lambda z: np.round(4 * z) / 4)
    assert found.error == math.inf  # of the slope, which is zero or infinite
    grid = np.arange(-200, 201) / 4
    edges = np.array([math.erf((g + d) / math.sqrt(2)) / 2 for d in (-0.125, 0.125) for g in grid])
    low, high = edges.reshape(2, -1)
    assert found.second == pytest.approx(float(np.sum(grid**2 * (high - low))), rel=1e-8)


def test_an_infinite_slope_is_not_given_a_false_bound() -> None:
    assert gain(lambda z: np.sqrt(np.abs(z))).error == math.inf


def test_the_caller_may_write_into_its_argument() -> None:
    found = gain(lambda z: np.multiply(z, 2.0, out=z))
    assert found.forward == pytest.approx(4, rel=1e-12)


def test_slow_tails_are_integrated() -> None:
    """E[e^{2z}] = e^{2q}, and exp(z²/8), whose second moment exists below q = 2 only."""
    assert gain(np.exp, q=9.0).second == pytest.approx(math.exp(18), rel=1e-9)
    heavy = from_callable(lambda z: np.exp(z * z / 8), lambda z: z / 4 * np.exp(z * z / 8))
    assert gain(heavy, q=1.5).second == pytest.approx(1 / math.sqrt(1 - 0.75), rel=1e-9)
    with pytest.raises(ActivationError, match=r"grows too fast.*N\(0, 2.1\)"):
        gain(heavy, q=2.1)


def test_either_square_may_be_what_grows_too_fast() -> None:
    def bell(z):
        return np.exp(z * z / 8)

    for function, derivative in ((bell, np.zeros_like), (np.zeros_like, bell)):
        with pytest.raises(ActivationError, match="grows too fast"):
            gain(from_callable(function, derivative), q=2.1)


def noise():
    rng = np.random.default_rng(0)
    return lambda z: z * (rng.random(z.shape) > 0.5)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda z: np.log(z), "returns NaN, at z = "),
        (lambda z: np.sqrt(z + 0j), "returns complex128 values"),
        (lambda z: z.sum(), r"turns shape \(201,\) into \(\)"),
        (lambda z: z[:-1], r"turns shape \(201,\) into \(200,\)"),
        (lambda z: np.array(["a"] * z.size), "returns <U1 values"),
        (lambda z: np.exp(z) / np.exp(z).sum(), "depends on the others"),
        (lambda z: (z - z.mean()) / z.std(), "returns NaN|depends on the others"),
        (lambda z: z.frobnicate(), "raises AttributeError"),
        (lambda z: 1 / z, "infinite at z = 0"),
        (lambda z: np.exp(z * z), "its Gaussian moments do not exist"),
        (noise(), "other values for the same input"),
    ],
)
def test_what_is_no_activation_is_told_so(function, says) -> None:
    with pytest.raises(ActivationError, match=says) as caught:
        gain(function)
    assert caught.value.where
    assert caught.value.remedy


def test_a_wrong_derivative_is_named_as_such() -> None:
    with pytest.raises(ActivationError, match=r"derivative of tanh: it turns shape"):
        from_callable(np.tanh, lambda z: 1.0, name="tanh")


def test_values_out_of_range_are_found_when_they_are_reached() -> None:
    activation = from_callable(lambda z: np.log(1 + np.exp(z)), name="naive softplus")
    assert gain(activation, q=100.0).second > 0
    with pytest.raises(ActivationError, match=r"naive softplus: it is infinite at z = 7\d\d"):
        gain(activation, q=500.0)
