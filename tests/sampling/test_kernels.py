"""The compiled kernels against the NumPy reference: every bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling import fill
from evenflow.sampling.contract import STORAGE, VERSION, Dtype, key, recipe
from evenflow.sampling.elements import LARGEST_PIECE, pitches_of, write_elements
from evenflow.sampling.kernels import COMPILED_FOR
from evenflow.sampling.reference import values

Elementwise = Uniform | Normal | TruncatedNormal
ELEMENTWISE = [Uniform(0.5), Normal(0.02), TruncatedNormal(0.02), TruncatedNormal(3.0, 0.7)]
DTYPES: list[Dtype] = ["float32", "float64", "float16", "bfloat16"]

distributions = st.sampled_from(ELEMENTWISE)
dtypes = st.sampled_from(DTYPES)
offsets = st.one_of(st.integers(0, 10_000), st.integers(2**33, 2**40))


def expected(
    index: np.ndarray, distribution: Elementwise, dtype: Dtype, seed: int = 7, name: str = "w"
) -> np.ndarray:
    return values(
        index.astype(np.uint64), recipe(distribution, dtype, name), key(seed, name), dtype
    )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_a_new_contract_does_not_find_old_kernels_in_the_cache() -> None:
    assert COMPILED_FOR == VERSION


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution", ELEMENTWISE, ids=str)
def test_large_tensors(distribution: Elementwise, dtype: Dtype) -> None:
    out = np.empty(300_001, STORAGE[dtype])
    fill(out, distribution, seed=7, name="w", dtype=dtype)
    assert same_bits(out, expected(np.arange(out.size), distribution, dtype))


@settings(max_examples=60, deadline=None)
@given(distributions, dtypes, offsets, st.integers(1, 9_000), st.integers(0, 2**64 - 1))
def test_any_flat_range(
    distribution: Elementwise, dtype: Dtype, start: int, size: int, seed: int
) -> None:
    out = np.empty(size, STORAGE[dtype])
    fill(out, distribution, seed=seed, name="w", shape=(2**41,), start=start, dtype=dtype)
    index = np.arange(start, start + size, dtype=np.uint64)
    assert same_bits(out, expected(index, distribution, dtype, seed))


@settings(max_examples=60, deadline=None)
@given(
    distributions,
    dtypes,
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5), st.integers(0, 5)), max_size=4),
)
def test_any_box(distribution: Elementwise, dtype: Dtype, axes: list[tuple[int, int, int]]) -> None:
    shape = tuple(before + length + after for length, before, after in axes)
    corner = tuple(before for _, before, _ in axes)
    extent = tuple(length for length, _, _ in axes)
    out = np.empty(extent, STORAGE[dtype])
    fill(out, distribution, seed=7, name="w", shape=shape, start=corner, dtype=dtype)
    index = np.arange(int(np.prod(shape))).reshape(shape)
    box = tuple(slice(low, low + n) for low, n in zip(corner, extent, strict=True))
    assert same_bits(out, expected(index[box], distribution, dtype).reshape(extent))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "view",
    [
        lambda base: base[:, ::2],
        lambda base: base[::-1],
        lambda base: base.T,
        lambda base: base[3:40, 5:6],
        lambda base: base.reshape(20, 3, 50)[:, 1],
    ],
    ids=["every second", "backwards", "transposed", "one column", "slab"],
)
def test_strided_targets(view: object, dtype: Dtype) -> None:
    base = np.zeros((60, 50), STORAGE[dtype])
    out = view(base)  # type: ignore[operator]
    fill(out, Normal(1.0), seed=7, name="w", dtype=dtype)
    assert same_bits(out, expected(np.arange(out.size).reshape(out.shape), Normal(1.0), dtype))
    assert np.count_nonzero(base) == np.count_nonzero(out)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_any_number_of_threads(threads: int) -> None:
    out = np.empty((3, 200_003), np.float32)
    fill(out, Normal(1.0), seed=7, name="w", threads=threads)
    assert same_bits(out, expected(np.arange(out.size).reshape(out.shape), Normal(1.0), "float32"))


def test_pieces_larger_than_one_call_may_make() -> None:
    out = np.empty((2, 2, LARGEST_PIECE + 100), np.uint16)[..., 50:-50]
    how, which = recipe(Uniform(1.0), "bfloat16", "w"), key(7, "w")
    write_elements(out, how, which, "bfloat16", offset=9, pitches=pitches_of(out.shape), threads=2)
    index = np.arange(9, 9 + out.size).reshape(out.shape)
    for part in np.ndindex(2, 2):
        assert same_bits(out[part][-5000:], expected(index[part][-5000:], Uniform(1.0), "bfloat16"))


def test_a_large_strided_target_of_many_small_rows() -> None:
    base = np.zeros((70_000, 5), np.float32)
    fill(base[:, 1:4], Uniform(1.0), seed=7, name="w", threads=2)
    index = np.arange(210_000).reshape(70_000, 3)
    assert same_bits(base[:, 1:4], expected(index, Uniform(1.0), "float32"))
