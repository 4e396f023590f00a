"""The catalogue: curves and slopes against mpmath and PyTorch, and what is declared of them."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from theory_oracle import ORACLES, PARAMETRISED
from torch.nn import functional as F

from evenflow.errors import InputError
from evenflow.theory.activations import catalogue, find, from_callable

POINTS = [-60.0, -25.0, -7.3, -2.9, -1.1, -0.51, -0.3, -1e-3, -1e-9]
POINTS += [0.0, *(-z for z in reversed(POINTS))]
CASES = [(name, {}, oracle) for name, oracle in ORACLES.items()] + list(PARAMETRISED)
IDS = [name + "".join(f"-{v}" for v in params.values()) for name, params, _ in CASES]

IN_TORCH = {
    "linear": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda z: F.prelu(z, torch.tensor([0.25], dtype=z.dtype)),
    "relu6": F.relu6,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "quick_gelu": lambda z: z * torch.sigmoid(1.702 * z),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "squared_relu": lambda z: F.relu(z) ** 2,
    "sin": torch.sin,
    "gaussian": lambda z: torch.exp(-z * z),
}


def test_the_catalogue_is_complete() -> None:
    assert set(catalogue()) == set(ORACLES) == set(IN_TORCH)
    assert len(catalogue()) == 27


@pytest.mark.parametrize(("name", "params", "oracle"), CASES, ids=IDS)
def test_curve_and_slope_keep_their_digits_into_the_tails(name, params, oracle) -> None:
    activation = find(name, **params)
    for curve, exact in (
        (activation.function, oracle.function),
        (activation.derivative, oracle.derivative),
    ):
        with mp.workdps(130):
            values = np.array([float(exact(mp.mpf(z))) for z in POINTS])
        np.testing.assert_allclose(curve(np.array(POINTS)), values, rtol=2e-13, atol=1e-300)


@pytest.mark.parametrize("name", catalogue())
def test_slope_is_that_of_autograd_at_kinks_too(name) -> None:
    activation = find(name)
    z = np.concatenate((np.linspace(-4, 4, 33), activation.kinks))
    leaf = torch.tensor(z, requires_grad=True)
    value = IN_TORCH[name](leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    np.testing.assert_allclose(activation.function(z), value.detach(), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(activation.derivative(z), slope, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", catalogue())
def test_shapes_and_inputs_are_left_alone(name) -> None:
    activation = find(name)
    z = np.linspace(-3, 3, 24).reshape(2, 3, 4)
    before = z.copy()
    for curve in (activation.function, activation.derivative):
        assert curve(z).shape == z.shape
        assert curve(z).dtype == np.float64
        assert curve(np.array(0.3)).shape == ()
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("name", catalogue())
def test_declared_kinks_and_flats_are_those_that_a_search_finds(name) -> None:
    declared = find(name)
    found = from_callable(declared.function, declared.derivative)
    declared_kinks = () if name == "softplus" else declared.kinks  # a step of 2e-9, too small
    near = [kink for kink in found.kinks if abs(kink) < 15]
    np.testing.assert_allclose(near, declared_kinks, atol=1e-8)
    assert found.homogeneous == declared.homogeneous
    np.testing.assert_allclose(
        [flat for flat in found.flat if flat[0] > -15 or flat[1] < 15], declared.flat, atol=1e-8
    )


def test_flat_pieces() -> None:
    inf = math.inf
    assert find("relu").flat == ((-inf, 0.0),)
    assert find("hardtanh").flat == ((-inf, -1.0), (1.0, inf))
    assert find("hardshrink", lambd=0.25).flat == ((-0.25, 0.25),)
    assert find("gelu").flat == find("leaky_relu").flat == ()


def test_homogeneous_family() -> None:
    names = {name for name in catalogue() if find(name).homogeneous}
    assert names == {"linear", "relu", "leaky_relu", "prelu"}


@pytest.mark.parametrize(
    ("name", "intervals", "bounded"),
    [
        # 1 − tanh² = 0.1; σ(1 − σ) = 0.1/4; (1 + |z|)⁻² = 0.1; eᶻ = 0.1
        ("tanh", [(-math.inf, -math.atanh(0.9**0.5)), (math.atanh(0.9**0.5), math.inf)], True),
        ("logistic", [(-math.inf, -2 * math.atanh(0.9**0.5))] * 1, True),
        ("softsign", [(-math.inf, 1 - 10**0.5), (10**0.5 - 1, math.inf)], True),
        ("elu", [(-math.inf, math.log(0.1))], True),
        ("relu", [(-math.inf, 0.0)], True),
        ("relu6", [(-math.inf, 0.0), (6.0, math.inf)], True),
        ("hardtanh", [(-math.inf, -1.0), (1.0, math.inf)], True),
        ("squared_relu", [(-math.inf, 0.0)], True),
        ("leaky_relu", [(-math.inf, 0.0)], False),
    ],
)
def test_saturation_is_where_the_slope_is_under_a_tenth(name, intervals, bounded) -> None:
    saturation = find(name).saturation
    assert saturation.bounded is bounded
    np.testing.assert_allclose(saturation.intervals[: len(intervals)], intervals, atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "prelu", "sin", "tanhshrink", "softshrink"])
def test_these_do_not_saturate(name) -> None:
    assert find(name).saturation is None


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "mish", "hardswish", "gaussian"])
def test_saturated_tails_agree_with_their_definition(name) -> None:
    activation = find(name)
    z = np.linspace(-12, 12, 100_001)
    slope = np.abs(activation.derivative(z))
    inside = activation.saturation.contains(z)
    assert 0 < inside.mean() < 1
    assert slope[inside].max() <= 0.1 * slope.max()
    edges = np.abs(np.array(activation.saturation.intervals)).min(axis=1)
    just_inside = np.concatenate((edges - 1e-6, 1e-6 - edges))
    assert np.abs(activation.derivative(just_inside)).max() > 0.1 * slope.max()


def test_asking_again_gives_the_same_object() -> None:
    assert find("tanh") is find("tanh")
    assert find("sigmoid") is find("logistic")
    assert find("swish") is find("silu")
    assert find("elu", alpha=2) is find("elu", alpha=2.0)
    assert find("elu", alpha=2.0) is not find("elu")
    assert dict(find("elu", alpha=2.0).params) == {"alpha": 2.0}


def test_parameters_cannot_be_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        find("elu").params["alpha"] = 3.0


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("rulu", {}, "Did you mean relu"),
        ("sigmod", {}, "sigmoid"),
        ("nothing like it", {}, "The catalogue has: linear, logistic"),
        ("relu", {"alpha": 1.0}, "no parameter 'alpha'"),
        ("elu", {"slope": 1.0}, "It takes alpha"),
        ("elu", {"alpha": math.nan}, "finite"),
        ("elu", {"alpha": "1"}, "finite"),
        ("elu", {"alpha": [1.0]}, "finite"),
        ("softshrink", {"lambd": -1.0}, "lambd must be positive"),
        ("hardtanh", {"min_val": 2.0}, "min_val must lie below max_val"),
        ("celu", {"alpha": 0.0}, "alpha must be positive"),
        ("softplus", {"beta": 0.0}, "beta must be positive"),
    ],
)
def test_wrong_names_and_parameters_are_named(name, params, says) -> None:
    with pytest.raises(InputError, match=says):
        find(name, **params)
