"""Arrays of E[x·x′] by distance, against the whole matrix of E[x_i x_j]."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.graph.algebra import pairs as pairing

CURVES = st.lists(st.floats(-1, 1), min_size=2, max_size=6).map(np.array)


def matrix(curve, size):
    """E[x_i x_j] for every two indices."""
    i = np.arange(size)
    return curve[np.minimum(np.abs(i[:, None] - i), len(curve) - 1)]


def by_distance(full, length):
    """Means over the pairs of indices at each distance; the last entry is all that are further."""
    i = np.arange(len(full))
    distance = np.minimum(np.abs(i[:, None] - i), length - 1)
    return np.array([full[distance == d].mean() for d in range(length)])


@given(size=st.integers(2, 40), length=st.integers(2, 40))
def test_counts_are_those_of_all_ordered_pairs(size, length):
    length = min(size, length)
    i = np.arange(size)
    distance = np.minimum(np.abs(i[:, None] - i), length - 1)
    assert pairing.counts(size, length).tolist() == np.bincount(distance.ravel()).tolist()
    assert pairing.counts(size, 1).tolist() == [size**2]


@given(curve=CURVES, more=st.integers(0, 9))
def test_a_sum_is_over_every_pair(curve, more):
    size = len(curve) + more
    full = matrix(curve, size)
    assert pairing.total(curve, 0, size) == pytest.approx(full.sum(), abs=1e-9)
    assert pairing.average(curve, 0, size).tolist() == pytest.approx([full.mean()], abs=1e-9)


@given(curve=CURVES, more=st.integers(0, 9), step=st.integers(1, 4))
def test_every_second_index_halves_the_distances(curve, more, step):
    size = len(curve) + more
    full = matrix(curve, size)[::step, ::step]
    found = pairing.spaced(curve, 0, step)
    for i, j in np.ndindex(full.shape):
        assert found[min(abs(i - j), len(found) - 1)] == full[i, j]


@given(curve=CURVES, outer=st.integers(2, 5), inner=st.integers(2, 5))
def test_split_indices_are_those_of_blocks(curve, outer, inner):
    size = outer * inner
    length = min(len(curve), size)
    curve = curve[:length]
    blocks = matrix(curve, size).reshape(outer, inner, outer, inner)
    found = pairing.split(curve, 0, size, inner)
    inside, across = (
        [blocks[a, :, b] for a in range(outer) for b in range(outer) if (a == b) is same]
        for same in (True, False)
    )
    assert found[0] == pytest.approx(by_distance(np.mean(inside, axis=0), found.shape[1]), abs=1e-9)
    everything = np.mean(inside + across, axis=0)
    assert pairing.average(found, 0, outer)[0] == pytest.approx(
        by_distance(everything, found.shape[1]), abs=1e-9
    )
    last = [blocks[a, :, b] for a in range(outer) for b in range(outer) if a - b == len(found) - 2]
    if len(found) > 2:
        assert found[-2] == pytest.approx(
            by_distance(np.mean(last, axis=0), found.shape[1]), abs=1e-9
        )


@given(sizes=st.lists(st.integers(2, 4), min_size=2, max_size=3), seed=st.integers(0, 99))
def test_joined_dimensions_keep_the_sum_and_the_square(sizes, seed):
    cases = np.random.default_rng(seed).normal(size=[2] * len(sizes))
    joined = pairing.joined(cases, 0, sizes)
    everything = cases
    for size in sizes[::-1]:
        everything = pairing.total(everything, everything.ndim - 1, size)
    assert joined[0] == cases.flat[0]
    assert pairing.total(joined, 0, prod(sizes)) == pytest.approx(float(everything))


@settings(max_examples=200)
@given(
    factors=st.lists(st.integers(2, 4), min_size=2, max_size=5),
    ours=st.sets(st.integers(1, 4)),
    theirs=st.sets(st.integers(1, 4)),
)
def test_common_parts_divide_both_lists(factors, ours, theirs):
    def cut(where):
        edges = [0, *sorted(w for w in where if w < len(factors)), len(factors)]
        return [prod(factors[a:b]) for a, b in pairwise(edges)]

    left, right = cut(ours), cut(theirs)
    parts = pairing.common_parts(left, right)
    assert parts is not None
    assert prod(parts) == prod(factors)
    for each in (left, right):
        edges = set(np.cumprod(each[::-1]).tolist())
        assert edges <= set(np.cumprod(parts[::-1]).tolist())


def test_unrelated_factors_have_no_common_parts():
    assert pairing.common_parts([4, 9], [9, 4]) is None
    assert pairing.common_parts([2, 3], [3, 2]) is None
