"""Moments of an array, against counting every pair of its elements."""

from itertools import product

import numpy as np
import pytest

from evenflow.graph.numbers.measured import measured

IMAGE = ("examples", "units", "positions", "positions")


def counted(x, lengths):
    """Mean of x·x′ over all ordered pairs, by where they differ."""
    total, pairs = np.zeros(lengths), np.zeros(lengths)
    last = np.array(lengths) - 1
    for one, other in product(np.ndindex(x.shape), repeat=2):
        where = tuple(np.minimum(np.abs(np.subtract(one, other)), last))
        total[where] += x[one] * x[other]
        pairs[where] += 1
    return total / pairs


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4)])
def test_every_pair_counts_once(shape):
    x = np.random.default_rng(0).normal(0.3, 1.0, shape)
    found = measured(x)
    assert found.pairs == pytest.approx(counted(x, (2,) * len(shape)))
    assert found.mean == pytest.approx(x.mean())
    assert found.shape == shape


@pytest.mark.parametrize(
    ("shape", "lengths"), [((2, 2, 4, 4), (2, 2, 4, 4)), ((2, 2, 5, 6), (2, 2, 4, 4))]
)
def test_distances_between_positions_are_told_apart(shape, lengths):
    x = np.random.default_rng(0).normal(0.3, 1.0, shape)
    assert measured(x, IMAGE, 2).pairs == pytest.approx(counted(x, lengths))


def test_axes_of_length_one_make_no_difference():
    x = np.random.default_rng(0).normal(size=(3, 1, 4))
    found = measured(x)
    assert found.pairs.shape == (2, 2)
    assert found.axes[1] == ()
    assert measured(np.array(3.0)).pairs == 9.0


def test_many_axes_are_told_by_mean_and_second_moment():
    x = np.random.default_rng(0).normal(0.5, 1.0, (2,) * 8)
    found = measured(x)
    assert found.second == pytest.approx(np.mean(x**2))
    assert found.pairs.flat[-1] == pytest.approx(x.mean() ** 2)


def test_an_empty_array_has_no_moments_but_zero():
    assert measured(np.zeros((0, 3))).second == 0.0


def test_norms_that_vary_are_told():
    """By their variance from position to position over their mean."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.2, 2.0, (400, 1))
    found = measured(scale * np.ones((400, 32)), ("examples", "units"))
    energy = scale**2
    assert found.spread == pytest.approx(energy.var() / energy.mean() ** 2)
    assert measured(rng.choice([-1.0, 1.0], (50, 4)), ("examples", "units")).spread == 0.0
    assert measured(scale * np.ones((400, 32))).spread == 0.0  # no examples, nothing to compare
