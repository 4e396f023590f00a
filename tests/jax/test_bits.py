"""NumPy, PyTorch and JAX: the same bits for any shape, dtype and distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.jax.draw import draw
from evenflow.jax.keys import words_of
from evenflow.jax.values import values
from evenflow.jax.words import Wide, element_numbers, high_product
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    Simple,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling import Dtype, reference, sample
from evenflow.sampling.contract import Key, key, recipe
from evenflow.torch.apply import as_array, write

DTYPES: list[Dtype] = ["float32", "float64", "float16", "bfloat16"]
ELEMENTWISE: list[Simple] = [
    Uniform(0.5),
    Normal(0.02),
    TruncatedNormal(0.02),
    TruncatedNormal(3.0, 0.7),
    Constant(0.3),
    Normal(0.0),
]
axes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**64 - 1)


def in_jax(
    distribution: Distribution, shape: tuple[int, ...], dtype: Dtype, seed: int
) -> np.ndarray:
    with jax.enable_x64(dtype == "float64"):
        drawn = draw(distribution, shape, dtype, lambda part: words_of(seed, part), name="w")
        assert drawn.shape == shape
        assert drawn.dtype == dtype
        return np.asarray(drawn)


def in_torch(
    distribution: Distribution, shape: tuple[int, ...], dtype: Dtype, seed: int
) -> np.ndarray:
    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
    write(tensor, distribution, seed, "w")
    return as_array(tensor)


def bits(array: np.ndarray) -> bytes:
    return array.tobytes()


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(ELEMENTWISE), st.sampled_from(DTYPES), axes, seeds)
def test_any_tensor(distribution: Simple, dtype: Dtype, shape: tuple[int, ...], seed: int) -> None:
    ours = bits(sample(distribution, shape, seed=seed, name="w", dtype=dtype))
    assert bits(in_jax(distribution, shape, dtype, seed)) == ours
    assert bits(in_torch(distribution, shape, dtype, seed)) == ours


@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [
        (Uniform(0.5), "float32"),
        (Normal(0.02), "float16"),
        (TruncatedNormal(0.02), "bfloat16"),
        (TruncatedNormal(3.0, 0.7), "float64"),
        (Orthogonal(1.3), "float32"),
    ],
)
def test_a_large_tensor(distribution: Simple, dtype: Dtype) -> None:
    shape = (257, 301)
    ours = bits(sample(distribution, shape, seed=7, name="w", dtype=dtype))
    assert bits(in_jax(distribution, shape, dtype, 7)) == ours
    assert bits(in_torch(distribution, shape, dtype, 7)) == ours


PACKED = {
    "queries, keys, values": Blocks(0, (8, 4, 4), (Normal(0.1), Normal(0.2), Uniform(0.3))),
    "along the last axis": Blocks(1, (5, 7), (TruncatedNormal(1.0), Constant(2.0))),
    "matrices": Blocks(0, (8, 8), (Orthogonal(1.0), Orthogonal(2.0))),
    "a matrix and its neighbours": Blocks(1, (4, 8), (Orthogonal(1.0), Normal(2.0))),
}


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_packed_weights(packed: Blocks) -> None:
    ours = bits(sample(packed, (16, 12), seed=7, name="w"))
    assert bits(in_jax(packed, (16, 12), "float32", 7)) == ours
    assert bits(in_torch(packed, (16, 12), "float32", 7)) == ours


def test_convolutions_and_numbers() -> None:
    for distribution, shape in ((DeltaOrthogonal(2.0), (6, 4, 3, 3)), (Normal(1.0), ())):
        ours = sample(distribution, shape, seed=7, name="w")
        assert bits(in_jax(distribution, shape, "float32", 7)) == bits(ours)


def test_nothing_at_all() -> None:
    assert in_jax(Normal(1.0), (3, 0), "float16", 7).shape == (3, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution", ELEMENTWISE[:4], ids=str)
def test_elements_beyond_32_bits(distribution: Simple, dtype: Dtype) -> None:
    """The contract's numbers have 64 bits; no tensor that fits into a test does."""
    index = np.array([0, 31, 127, 128, 2**32 - 1, 2**32, 2**34 - 1, 2**34, 2**40 + 3], np.uint64)
    how = recipe(distribution, dtype, "w")  # type: ignore[arg-type]
    with jax.enable_x64(dtype == "float64"):
        made = values(
            Wide(
                jnp.asarray(index.astype(np.uint32)), jnp.asarray((index >> 32).astype(np.uint32))
            ),
            jnp.asarray(words_of(7, "w")),
            uniform=how.uniform,
            low=jnp.uint32(how.low) if how.low else None,
            scale=jnp.asarray(how.scale, "float64" if dtype == "float64" else "float32"),
            dtype=dtype,
        )
    assert bits(np.asarray(made)) == bits(reference.values(index, how, key(7, "w"), dtype))


@settings(max_examples=6, deadline=None)
@given(axes, st.integers(0, 2**40), st.integers(1, 2**38))
def test_element_numbers(extent: tuple[int, ...], offset: int, pitch: int) -> None:
    pitches = tuple(pitch * (axis + 1) for axis in range(len(extent)))
    low, high = element_numbers(extent, pitches, offset)
    places = np.indices(extent, np.uint64)
    steps = np.array(pitches, np.uint64).reshape(-1, *[1] * len(extent))
    expected = np.uint64(offset) + (places * steps).sum(0, dtype=np.uint64)
    found = (np.asarray(high, np.uint64) << np.uint64(32)) | np.asarray(low, np.uint64)
    assert (found == expected).all()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_upper_half_of_a_product(words: list[int], factor: int) -> None:
    made = np.asarray(high_product(jnp.asarray(words, jnp.uint32), factor))
    assert made.tolist() == [(word * factor) >> 32 for word in words]


def test_golden_keys_reach_the_words() -> None:
    assert words_of(1, "module.weight").tolist() == [0x3A80DA10, 0x885BBE80]
    assert Key(*words_of(1, "weight").tolist()) == key(1, "weight")
