"""A tensor made window by window, in any order, is the tensor made at once."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import evenflow as ef
from evenflow.sampling import Dtype
from evenflow.sampling.contract import STORAGE

DISTRIBUTIONS = [
    ef.Uniform(0.5),
    ef.Normal(0.02),
    ef.TruncatedNormal(0.02, 1.5),
    ef.Orthogonal(2.0),
    ef.Blocks(0, (3, 5), (ef.Normal(1.0), ef.Uniform(1.0))),
]


def cuts(length: int, rng: random.Random) -> list[tuple[int, int]]:
    """Ranges that make up ``length``, cut in random places."""
    places = sorted({0, length, *(rng.randrange(length + 1) for _ in range(2))})
    return list(pairwise(places))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DISTRIBUTIONS),
    st.sampled_from(list(STORAGE)),
    st.lists(st.integers(1, 40), min_size=1, max_size=2).map(lambda rest: (8, *rest)),
    st.integers(0, 2**64 - 1),
    st.randoms(use_true_random=False),
)
def test_boxes_in_random_order(
    distribution: ef.Normal, dtype: Dtype, shape: tuple[int, ...], seed: int, rng: random.Random
) -> None:
    parts = [()]
    for length in shape:
        parts = [(*part, cut) for part in parts for cut in cuts(length, rng)]
    rng.shuffle(parts)
    made = np.empty(shape, STORAGE[dtype])
    for part in parts:
        window = tuple(slice(*cut) for cut in part)
        made[window] = ef.sample(
            distribution, shape, seed=seed, name="w", dtype=dtype, window=window
        )
    whole = ef.sample(distribution, shape, seed=seed, name="w", dtype=dtype)
    assert made.tobytes() == whole.tobytes()


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(DISTRIBUTIONS),
    st.sampled_from(list(STORAGE)),
    st.integers(0, 2**64 - 1),
    st.randoms(use_true_random=False),
)
def test_flat_ranges_in_random_order(
    distribution: ef.Normal, dtype: Dtype, seed: int, rng: random.Random
) -> None:
    shape = (8, 37)
    parts = cuts(8 * 37, rng)
    rng.shuffle(parts)
    made = np.empty(8 * 37, STORAGE[dtype])
    for begin, end in parts:
        made[begin:end] = ef.sample(
            distribution, shape, seed=seed, name="w", dtype=dtype, window=(begin, end)
        )
    whole = ef.sample(distribution, shape, seed=seed, name="w", dtype=dtype)
    assert made.tobytes() == whole.tobytes()
