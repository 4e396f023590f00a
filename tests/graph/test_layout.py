"""Layout: what is measured of a rearranged tensor is what layout makes of the measured Moments."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import NoRuleError
from evenflow.graph.algebra import layout
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured

from .laws import mixed

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 99)


def tensor(shape, seed):
    """With something in common along the first axis, so that no entry is trivial."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1.0, shape) + rng.normal(size=(1, *shape[1:]))


def assert_alike(found: Moments, expected: Moments):
    assert found.axes == expected.axes
    rounding = 1e-12 * max(1.0, float(np.abs(expected.pairs).max()))
    assert found.mean == pytest.approx(expected.mean, abs=rounding)
    assert found.pairs == pytest.approx(expected.pairs, abs=rounding)


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_permuting_commutes_with_measuring(shape, seed, data):
    order = data.draw(st.permutations(range(len(shape))))
    x = tensor(shape, seed)
    assert_alike(layout.permuted(measured(x), order), measured(x.transpose(order)))


@given(shape=SHAPES, seed=SEEDS, data=st.data(), keep=st.booleans())
def test_sums_and_means_commute_with_measuring(shape, seed, data, keep):
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    x = tensor(shape, seed)
    assert_alike(layout.summed(measured(x), axes, keep=keep), measured(x.sum(axes, keepdims=keep)))
    assert_alike(
        layout.averaged(measured(x), axes, keep=keep), measured(x.mean(axes, keepdims=keep))
    )


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_joining_axes_and_splitting_them_again_changes_nothing(shape, seed, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shape)))) | {0, len(shape)})
    joined = [prod(shape[a:b]) for a, b in pairwise(cuts)]
    x = measured(tensor(shape, seed))
    there = layout.reshaped(x, joined)
    assert there.shape == tuple(joined)
    back = layout.reshaped(there, shape)
    assert back.pairs == pytest.approx(x.pairs, abs=1e-9)
    assert back.axes == x.axes


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_a_sum_knows_nothing_of_the_shape_before(shape, seed, data):
    """Through any reshape, possible or not, the sum and the sum of squares stay."""
    numbers = prod(shape)
    divisors = [d for d in range(1, numbers + 1) if numbers % d == 0]
    first = data.draw(st.sampled_from(divisors))
    x = measured(tensor(shape, seed))
    try:
        there = layout.reshaped(x, (first, numbers // first))
    except NoRuleError:
        return
    assert there.shape == (first, numbers // first)
    assert there.second == pytest.approx(x.second)
    whole = layout.summed(x, range(len(shape)), keep=False)
    assert layout.summed(there, (0, 1), keep=False).second == pytest.approx(whole.second, abs=1e-9)


@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_copies_commute_with_measuring_and_are_gathered_again(shape, seed, data):
    x = tensor(shape, seed)
    wide = tuple(data.draw(st.integers(2, 3)) if size == 1 else size for size in shape)
    wide = (*data.draw(st.lists(st.integers(2, 3), max_size=1)), *wide)
    copies = np.broadcast_to(x, wide)
    found = layout.expanded(measured(x), wide)
    assert found.shape == wide
    told = np.broadcast_to(found.pairs, measured(copies).pairs.shape)
    assert told == pytest.approx(measured(copies).pairs, abs=1e-12)
    gradient = tensor(wide, seed + 1)
    own = gradient.sum(tuple(range(len(wide) - len(shape))))
    own = own.sum(tuple(a for a, n in enumerate(shape) if n == 1), keepdims=True)
    assert_alike(layout.gathered(measured(gradient), measured(x)), measured(own))


ROLES = ("examples", "units", "positions")


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, size=st.integers(1, 6), step=st.integers(1, 3))
def test_a_part_of_an_exchangeable_tensor_has_its_moments(seed, size, step):
    """Slices, selections and blocks of a law of which every pair is known, over many draws."""
    law = mixed((2, 3, 12), 0.4, ROLES, reach=3)
    rng = np.random.default_rng(seed)
    part = [law.draw(rng)[..., : size * step : step][..., :size] for _ in range(400)]
    count = part[0].shape[-1]
    found = layout.sliced(law.moments, 2, count, step)
    expected = np.mean([measured(x, ROLES, 2).pairs for x in part], axis=0)
    kept = found.pairs[..., : expected.shape[-1]] if count > 1 else found.pairs
    assert kept == pytest.approx(expected[..., : kept.shape[-1]], abs=0.25)
    assert layout.selected(law.moments, 1).pairs == pytest.approx(law.moments.pairs[:, 0])


def test_a_view_into_heads_keeps_what_the_units_had_in_common():
    x = mixed((5, 12), 0.4, ROLES[:2]).moments
    heads = layout.reshaped(x, (5, 3, 4))
    same, unlike = x.pairs[0, 0], x.pairs[0, 1]
    assert heads.pairs[0] == pytest.approx(np.array([[same, unlike], [unlike, unlike]]))


def test_a_cut_through_the_middle_of_an_axis_tells_only_same_from_different():
    x = mixed((4, 6), 0.4).moments
    found = layout.reshaped(x, (8, 3))
    assert found.shape == (8, 3)
    assert found.second == x.second
    with pytest.raises(NoRuleError, match="not of the same size"):
        layout.reshaped(x, (5, 5))


def test_a_mask_follows_its_tensor():
    mask = np.zeros((2, 3, 4), dtype=bool)
    mask[0, 1] = True
    x = Moments.independent(shape=(2, 3, 4))
    masked = Moments(x.mean, x.pairs, x.axes, hidden=mask[:, :, :1])
    assert (layout.permuted(masked, (2, 0, 1)).hidden == mask.transpose(2, 0, 1)).all()
    assert (layout.reshaped(masked, (6, 4)).hidden == mask.reshape(6, 4)).all()
    assert layout.selected(masked, 0).hidden is None
