"""The checks of test_triton_fill.py for Triton's interpreter; each prints its name if it holds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.planning.distributions import (
    Blocks,
    Constant,
    Distribution,
    Normal,
    Simple,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling import Dtype, sample
from evenflow.torch.apply import as_array
from evenflow.torch.triton_fill import fill

DISTRIBUTIONS: list[Simple] = [
    Uniform(0.5),
    Normal(0.02),
    TruncatedNormal(0.02),
    TruncatedNormal(3.0, 0.7),
]
DTYPES: list[Dtype] = ["float32", "float64", "float16", "bfloat16"]
Shape = tuple[int, ...]


def same(
    out: torch.Tensor, distribution: Distribution, shape: Shape, start: Shape, seed: int = 7
) -> None:
    """Fill ``out`` by the kernel; its bits must be those of NumPy."""
    dtype: Dtype = str(out.dtype).removeprefix("torch.")  # type: ignore[assignment]
    fill(out, distribution, seed=seed, name="module.w", shape=shape, start=start)
    window = tuple(slice(low, low + n) for low, n in zip(start, out.shape, strict=True))
    expected = sample(distribution, shape, seed=seed, name="w", dtype=dtype, window=window)
    assert as_array(out.contiguous()).tobytes() == expected.tobytes(), (distribution, dtype)


def empty(shape: Shape, dtype: Dtype) -> torch.Tensor:
    return torch.full(shape, 9.0, dtype=getattr(torch, dtype))


def tensors() -> None:
    for distribution in DISTRIBUTIONS:
        for dtype in DTYPES:
            same(empty((17, 133), dtype), distribution, (17, 133), (0, 0))


def boxes() -> None:
    """Corners far beyond 32 bits, rows shorter and longer than a group, and packed weights."""
    for distribution in (DISTRIBUTIONS[0], DISTRIBUTIONS[2]):
        for dtype in DTYPES:
            full, start = (2**20, 2**15), (2**19, 100)
            same(empty((3, 400), dtype), distribution, full, start)
            same(empty((5, 1), dtype), distribution, full, start)
    packed = Blocks(0, (8, 4, 4), (Normal(0.1), Normal(0.2), Uniform(0.3)))
    same(empty((8, 20), "float32"), packed, (16, 40), (5, 20))
    same(empty((), "float32"), Normal(1.0), (), ())
    same(empty((3, 0), "float32"), Normal(1.0), (3, 5), (0, 5))


def strided() -> None:
    base = empty((40, 30), "bfloat16")
    same(base.T, Normal(1.0), (30, 40), (0, 0))
    same(empty((40, 30), "float32")[::2, 3:9], Normal(1.0), (20, 6), (0, 0))
    same(empty((2, 2, 3, 5), "float32"), Normal(1.0), (4, 6, 8, 10), (1, 2, 3, 4))


def constants() -> None:
    for dtype in DTYPES:
        same(empty((3, 4), dtype), Constant(1 / 3), (3, 4), (0, 0))
        same(empty((3, 4), dtype), Normal(0.0), (3, 4), (0, 0))


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(DISTRIBUTIONS),
    st.sampled_from(DTYPES),
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 2**12), st.integers(0, 2**12)),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2**64 - 1),
)
def any_box(
    distribution: Simple, dtype: Dtype, axes: list[tuple[int, int, int]], seed: int
) -> None:
    shape = tuple(before + length + after for length, before, after in axes)
    start = tuple(before for _, before, _ in axes)
    extent = tuple(length for length, _, _ in axes)
    same(empty(extent, dtype), distribution, shape, start, seed)


CHECKS: tuple[Callable[[], None], ...] = (tensors, boxes, strided, constants, any_box)

if __name__ == "__main__":
    for check in CHECKS:
        check()
        print(f"{check.__name__}: held", flush=True)
