"""Tensor functions: contract values, the right variance, and no global random state."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

import evenflow as ef
from evenflow.errors import InputError
from evenflow.planning.distributions import (
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.schemes import Site, scheme
from evenflow.sampling import sample
from evenflow.torch import functions

FAMILIES = ("uniform", "normal", "truncated")
RULES = ("heuristic", "lecun", "glorot", "he")
BY_SCHEME = [f"{rule}_{family}" for rule in RULES for family in FAMILIES]
DIRECT = {
    "uniform_": ((0.5,), Uniform(0.5)),
    "normal_": ((0.02,), Normal(0.02)),
    "truncated_normal_": ((0.02, 3.0), TruncatedNormal(0.02, 3.0)),
    "orthogonal_": ((1.5,), Orthogonal(1.5)),
    "delta_orthogonal_": ((1.5,), DeltaOrthogonal(1.5)),
}
SHAPE = (6, 5, 3)


@pytest.mark.parametrize("name", BY_SCHEME)
def test_schemes_take_torchs_layout(name):
    fans = (5 * 3, 6 * 3)
    distribution = scheme(name)(Site("linear", *fans, SHAPE))
    tensor = torch.empty(SHAPE)
    assert getattr(functions, f"{name}_")(tensor, seed=4, name="w") is tensor
    assert np.array_equal(tensor.numpy(), sample(distribution, SHAPE, seed=4, name="w"))


@pytest.mark.parametrize("name", DIRECT)
def test_distributions_take_their_own_sizes(name):
    arguments, distribution = DIRECT[name]
    tensor = torch.empty(SHAPE)
    assert getattr(functions, name)(tensor, *arguments, seed=4, name="w") is tensor
    assert np.array_equal(tensor.numpy(), sample(distribution, SHAPE, seed=4, name="w"))


@pytest.mark.parametrize("name", [*(f"{n}_" for n in BY_SCHEME), *DIRECT])
def test_every_function_is_documented_typed_and_exported(name):
    function = getattr(functions, name)
    assert getattr(ef, name) is function
    assert name in ef.__all__
    assert function.__name__ == name
    assert "in place" in inspect.getdoc(function)
    parameters = inspect.signature(function).parameters
    assert {"tensor", "seed", "name", "generator"} <= parameters.keys()


def test_the_variance_is_the_schemes():
    tensor = torch.empty(256, 512)
    for name in BY_SCHEME:
        getattr(ef, f"{name}_")(tensor, seed=0, name=name)
        variance = scheme(name)(Site("linear", 512, 256)).second_moment
        assert tensor.double().square().mean().item() == pytest.approx(variance, rel=0.02)


def test_fans_can_be_given():
    tensor, expected = torch.empty(64), torch.empty(64)
    ef.glorot_normal_(tensor, seed=0, name="w", fan_in=30, fan_out=20)
    ef.normal_(expected, (2 / 50) ** 0.5, seed=0, name="w")
    assert torch.equal(tensor, expected)
    stride = torch.empty(8, 4, 3, 3)
    ef.glorot_uniform_(stride, seed=0, name="w", fan_out=18)
    assert stride.abs().max() <= (6 / (36 + 18)) ** 0.5


def test_a_gain_scales_the_values():
    plain, scaled = torch.empty(8, 8), torch.empty(8, 8)
    ef.lecun_normal_(plain, seed=0, name="w")
    ef.lecun_normal_(scaled, 2.0, seed=0, name="w")
    torch.testing.assert_close(scaled, 2 * plain)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types(dtype):
    tensor = torch.empty(16, 16, dtype=dtype)
    ef.he_truncated_(tensor, seed=0, name="w")
    assert tensor.double().std().item() == pytest.approx((2 / 16) ** 0.5, rel=0.15)


def test_parameters_are_filled_without_a_gradient():
    parameter = torch.nn.Parameter(torch.empty(8, 8))
    ef.orthogonal_(parameter, seed=0, name="w")
    assert parameter.requires_grad
    assert parameter.grad_fn is None
    torch.testing.assert_close(parameter.detach() @ parameter.detach().T, torch.eye(8))


def test_a_generator_draws_a_fresh_key_each_time():
    def drawn(generator):
        first, second = torch.empty(8, 8), torch.empty(8, 8)
        ef.he_normal_(first, generator=generator)
        ef.he_normal_(second, generator=generator)
        return first, second

    first, second = drawn(torch.Generator().manual_seed(0))
    assert not torch.equal(first, second)
    again = drawn(torch.Generator().manual_seed(0))
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


def test_a_generator_is_the_key_of_a_contract_value():
    seed = int(torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(3)))
    tensor = torch.empty(4, 4)
    ef.normal_(tensor, 1.0, generator=torch.Generator().manual_seed(3), name="w")
    assert np.array_equal(tensor.numpy(), sample(Normal(1.0), (4, 4), seed=seed, name="w"))


def test_names_and_seeds_matter():
    drawn = {}
    for seed, name in ((0, "a"), (0, "b"), (1, "a")):
        drawn[seed, name] = ef.normal_(torch.empty(8), 1.0, seed=seed, name=name).clone()
    assert len({tuple(v.tolist()) for v in drawn.values()}) == 3


@pytest.mark.parametrize("function", [ef.glorot_uniform_, ef.orthogonal_])
def test_the_global_random_state_is_neither_read_nor_moved(function):
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    first = function(torch.empty(4, 4), seed=1, name="w").clone()
    function(torch.empty(4, 4), generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(function(torch.empty(4, 4), seed=1, name="w"), first)


REFUSED = {
    "neither": ({}, "neither was given"),
    "both": ({"seed": 0, "name": "w", "generator": torch.Generator()}, "both were given"),
    "no name": ({"seed": 0}, "a seed alone"),
    "a bad seed": ({"seed": -1, "name": "w"}, "seed must be a whole number"),
    "no fan": ({"seed": 0, "name": "w", "fan_in": 0}, "fans must be"),
    "a fan that is no number": (
        {"seed": 0, "name": "w", "fan_out": float("nan")},
        "fans must be",
    ),
    "a negative gain": ({"seed": 0, "name": "w", "gain": -1.0}, "at or above 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_told_and_nothing_is_written(case):
    arguments, said = REFUSED[case]
    tensor = torch.full((4, 4), 7.0)
    with pytest.raises(InputError, match=said):
        ef.glorot_uniform_(tensor, **arguments)
    assert bool((tensor == 7).all())


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(4), "no fans of its own"),
        (torch.zeros(4, 4, device="meta"), "no memory"),
        (torch.zeros(4, 4, dtype=torch.int64), "cannot be filled"),
        (torch.zeros(1, 4).expand(4, 4), "one place of memory"),
    ],
    ids=["a vector", "meta", "integers", "expanded"],
)
def test_bad_tensors_are_told(tensor, said):
    with pytest.raises(InputError, match=said):
        ef.he_normal_(tensor, seed=0, name="w")


def test_an_empty_tensor_is_no_fault():
    for shape in ((0, 4), (4, 0), (4, 0, 3)):
        assert ef.lecun_uniform_(torch.empty(shape), seed=0, name="w").shape == shape


def test_they_are_imported_when_they_are_first_used():
    code = (
        "import sys, evenflow as ef; assert 'he_normal_' in dir(ef); "
        "assert 'torch' not in sys.modules; ef.he_normal_; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
