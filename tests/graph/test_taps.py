"""Reads along an axis, against the whole matrix of a linear map and against a real convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.graph.algebra.taps import Reads, sliding_reads


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
)
def test_a_convolution_of_ones_counts_its_taps(length, kernel, stride, padding, dilation):
    if length + 2 * padding < dilation * (kernel - 1) + 1:
        return  # no output at all
    ones = torch.ones(1, 1, length)
    out = torch.conv1d(ones, torch.ones(1, 1, kernel), None, stride, padding, dilation)
    reads = sliding_reads(out.shape[-1], length, kernel, stride, padding, dilation)
    assert reads.weight.sum(axis=1).tolist() == out.flatten().tolist()


def matrix(reads):
    """(small, large): what each position reads, with its weight."""
    found = np.zeros((reads.small, reads.large))
    for reader, (sources, weights) in enumerate(zip(reads.source, reads.weight, strict=True)):
        for source, weight in zip(sources, weights, strict=True):
            found[reader, source] += weight
    return found


def kernel_of(curve, size):
    i = np.arange(size)
    return curve[np.minimum(np.abs(i[:, None] - i), len(curve) - 1)]


def by_distance(full, length):
    i = np.arange(len(full))
    distance = np.minimum(np.abs(i[:, None] - i), length - 1)
    return [full[distance == d].mean() for d in range(length)]


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(2, 12)),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    lengths=st.tuples(st.integers(1, 5), st.integers(2, 5)),
    seed=st.integers(0, 99),
)
def test_pairs_of_what_is_read_are_those_of_the_whole_matrix(
    sizes, kernel, stride, padding, dilation, lengths, seed
):
    """A E Aᵀ, averaged over the pairs at each distance; and Aᵀ E A the other way round."""
    rng = np.random.default_rng(seed)
    source = np.arange(sizes[0])[:, None] * stride - padding + np.arange(kernel) * dilation
    reads = Reads(source, sizes[1], rng.normal(size=source.shape))
    a = matrix(reads)
    curve = rng.normal(size=min(lengths[1], reads.large))
    kept = min(lengths[0], reads.small)
    expected = by_distance(a @ kernel_of(curve, reads.large) @ a.T, kept)
    assert reads.forwards(kept, len(curve)) @ curve == pytest.approx(np.array(expected))
    curve = rng.normal(size=min(lengths[1], reads.small))
    kept = min(lengths[0], reads.large)
    expected = by_distance(a.T @ kernel_of(curve, reads.small) @ a, kept)
    assert reads.backwards(kept, len(curve)) @ curve == pytest.approx(np.array(expected))


def test_same_and_different_taps_make_up_all_pairs():
    reads = sliding_reads(6, 8, 3, 1, 0, 1)
    same, different = (reads.meeting(3, 4, same_tap=each) for each in (True, False))
    assert (same + different == reads.meeting(3, 4)).all()
    assert same.tolist() == [[18, 0, 0, 0], [0, 30, 0, 0], [0, 0, 24, 36]]
    assert reads.landing == 18
