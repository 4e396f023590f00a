"""Pytrees from a plan: by path, in Flax and Equinox, with PyTorch's bits."""

from __future__ import annotations

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import evenflow as ef
import evenflow.jax as efj
from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Blocks, Constant, Normal, Orthogonal, Uniform
from evenflow.planning.plan import Entry, Plan

WEIGHT, BIAS = "layers.{}.weight", "layers.{}.bias"


def torch_model() -> torch.nn.Module:
    """The PyTorch twin of ``equinox.nn.MLP(8, 4, 16, 2)``: the same names, shapes and layouts."""
    model = torch.nn.Module()
    sizes = ((8, 16), (16, 16), (16, 4))
    model.layers = torch.nn.ModuleList(torch.nn.Linear(*each) for each in sizes)
    return model


def plan() -> Plan:
    entries = {
        WEIGHT.format(0): Entry((16, 8), Normal(0.1), ""),
        BIAS.format(0): Entry((16,), Constant(0.5), ""),
        WEIGHT.format(1): Entry((16, 16), Orthogonal(2.0), ""),
        BIAS.format(1): Entry((16,), Uniform(0.5), ""),
        WEIGHT.format(2): Entry((4, 16), Blocks(0, (1, 3), (Normal(1.0), Normal(2.0))), ""),
        BIAS.format(2): Entry((4,), None, "left as found"),
    }
    return Plan("by hand", entries)


def test_equinox_gets_pytorchs_bits() -> None:
    mlp = equinox.nn.MLP(8, 4, 16, 2, key=jax.random.key(0))
    filled = efj.fill(plan(), mlp, seed=5)
    twin = torch_model()
    plan().apply_(twin, seed=5)
    for number in range(3):
        ours, theirs = filled.layers[number], twin.layers[number]
        assert (np.asarray(ours.weight) == theirs.weight.detach().numpy()).all()
        if number < 2:
            assert (np.asarray(ours.bias) == theirs.bias.detach().numpy()).all()
    assert filled.layers[2].bias is mlp.layers[2].bias
    assert filled.activation is mlp.activation


def test_under_jit_as_outside() -> None:
    mlp = equinox.nn.MLP(8, 4, 16, 2, key=jax.random.key(0))
    inside = equinox.filter_jit(lambda tree: efj.fill(plan(), tree, 5))(mlp)
    assert equinox.tree_equal(efj.fill(plan(), mlp, 5), inside)


def test_flax_without_taking_memory_first() -> None:
    abstract = nnx.eval_shape(lambda: nnx.Linear(8, 16, rngs=nnx.Rngs(0)))
    two = Plan(
        "x", {"kernel": Entry((8, 16), Normal(0.1), ""), "bias": Entry((16,), Constant(), "")}
    )
    state = efj.fill(two, nnx.state(abstract, nnx.Param), 5)
    ours = ef.sample(Normal(0.1), (8, 16), seed=5, name="kernel")
    assert (np.asarray(state["kernel"][...]) == ours).all()
    nnx.update(abstract, state)
    assert abstract(jnp.ones((1, 8))).shape == (1, 16)


def test_names_of_another_framework() -> None:
    tree = {"dense": {"kernel": jnp.zeros((3, 4), jnp.bfloat16), "steps": jnp.zeros((), jnp.int32)}}
    one = Plan("x", {"h.weight": Entry((3, 4), Normal(1.0), "")}, seed=9)
    filled = efj.fill(one, tree, name_of={"dense.kernel": "h.weight"}.__getitem__)
    ours = ef.sample(Normal(1.0), (3, 4), seed=9, name="h.weight", dtype="bfloat16")
    assert np.asarray(filled["dense"]["kernel"]).tobytes() == ours.tobytes()
    assert filled["dense"]["steps"] is tree["dense"]["steps"]


def test_every_difference_is_named() -> None:
    tree = {"a": jnp.zeros((3, 4)), "c": jnp.zeros(2), "d": jax.ShapeDtypeStruct((2,), "float32")}
    other = Plan(
        "x",
        {
            "a": Entry((4, 3), Normal(1.0), ""),
            "b": Entry((1,), Normal(1.0), ""),
            "d": Entry((2,), None, ""),
        },
    )
    with pytest.raises(PlanError) as caught:
        efj.fill(other, tree, 0)
    for fault in (
        "in 4 places",
        "no leaf b",
        "a has shape (3, 4), in the plan (4, 3)",
        "nothing of c",
        "d is to be left as found",
    ):
        assert fault in str(caught.value)


def test_a_seed_is_needed() -> None:
    with pytest.raises(InputError, match="no seed"):
        efj.fill(plan(), {})
