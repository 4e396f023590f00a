"""Moments: arithmetic against tensors that have them, and tensors of different atoms aligned."""

import numpy as np
import pytest

from evenflow.graph.algebra.layout import reshaped
from evenflow.graph.moments import Atom, Moments, aligned
from evenflow.graph.numbers.measured import measured

from .laws import Law, mixed

ROLES = ("examples", "positions", "units")


def estimated(function, laws, draws=4000):
    """Mean pairs of a function of drawn tensors."""
    rng = np.random.default_rng(0)
    found = [measured(function(*(law.draw(rng) for law in laws)), ROLES) for _ in range(draws)]
    return np.mean([m.mean for m in found]), np.mean([m.pairs for m in found], axis=0)


X, Y = mixed((3, 2, 4), 0.5, ROLES), mixed((3, 2, 4), -1.0, ROLES)
ROW, PLANE = mixed((4,), 0.5, ("units",)), mixed((2, 4), 0.3, ROLES[1:])
COLUMN = mixed((3, 1, 4), 0.3, ROLES)


@pytest.mark.parametrize(
    ("derived", "function", "laws"),
    [
        (X.moments.plus(Y.moments), np.add, (X, Y)),
        (X.moments.times(Y.moments), np.multiply, (X, Y)),
        (X.moments.scaled(-3), lambda x: -3 * x, (X,)),
        (X.moments.plus(ROW.moments), np.add, (X, ROW)),
        (PLANE.moments.times(X.moments), np.multiply, (PLANE, X)),
        (X.moments.times(COLUMN.moments), np.multiply, (X, COLUMN)),
        (X.moments.plus(Moments.constant(2.0)), lambda x: x + 2, (X,)),
    ],
    ids=["plus", "times", "scaled", "row", "plane", "column", "number"],
)
def test_arithmetic_of_independent_tensors(derived, function, laws):
    mean, pairs = estimated(function, laws)
    assert derived.mean == pytest.approx(mean, abs=0.05)
    assert np.abs(derived.pairs - pairs).max() < 0.05 * derived.second
    assert derived.shape == (3, 2, 4)


def test_named_parts_are_entries_of_the_pairs():
    parts = {(0, 1, 2): 1.0, (1, 2): 0.2, (0, 2): 0.3}
    m = Law((3, 2, 4), parts, 0.5, ROLES).moments
    assert m.second == pytest.approx(1.75)
    assert m.variance == pytest.approx(1.5)
    assert m.shared_examples == pytest.approx(0.45)
    assert m.shared_positions == pytest.approx(0.55)


def test_a_constant_shares_everything():
    m = Moments.constant(-2.0, (3, 5))
    assert (m.mean, m.second, m.variance, m.shape) == (-2.0, 4.0, 0.0, (3, 5))
    assert m.shared_examples == m.shared_positions == 4.0
    assert m.pairs.shape == (1, 1)


def test_independent_elements_share_their_mean_alone():
    m = Moments.independent(0.5, 2.0, (3, 5), ("examples", "units"))
    assert m.pairs.tolist() == [[2.0, 0.25], [0.25, 0.25]]
    assert m.variance == 1.75
    assert m.shared_examples == 0.25
    assert m.shared_positions == 2.0  # there are none to differ in
    assert Moments.independent().pairs.shape == ()


def test_norms_of_independent_terms_even_each_other_out():
    """Relative variances: of a sum of equals a quarter each, added as squares of a shared norm;
    of a product (1 + a)(1 + b) − 1."""
    x = Moments(0.0, np.array(1.0), (), spread=0.5)
    y = Moments(0.0, np.array(1.0), (), spread=0.5)
    assert x.plus(y).spread == pytest.approx(0.5)
    assert x.plus(Moments.independent(0.0, 1.0)).spread == pytest.approx(0.125)
    assert x.times(y).spread == pytest.approx(1.25)
    assert x.scaled(3.0).spread == 0.5


def test_axes_that_were_split_differently_are_refined_until_they_agree():
    rng = np.random.default_rng(1)
    flat, heads = measured(rng.normal(size=(2, 12))), measured(rng.normal(size=(2, 3, 4)))
    joined = reshaped(heads, (2, 12))
    a, b, axes = aligned(flat, joined)
    assert [atom.size for atom in axes[1]] == [3, 4]
    assert a.shape == b.shape == (2, 2, 2)
    others = [a[0, 0, 1], a[0, 1, 0], a[0, 1, 1]]
    assert others == pytest.approx([flat.pairs[0, 1]] * 3)


def test_axes_with_no_common_parts_tell_only_same_from_different():
    thirds = Moments.independent(0.0, 1.0, (3, 4))
    quarters = Moments.independent(0.0, 1.0, (4, 3))
    x, y = (
        Moments(0.0, m.pairs, (tuple(a for axis in m.axes for a in axis),))
        for m in (thirds, quarters)
    )
    a, b, axes = aligned(x, y)
    assert axes == ((Atom(12, "units"),),)
    assert a == pytest.approx(np.array([1.0, 0.0]))
    assert b == pytest.approx(a)


def test_more_distances_are_told_apart_where_one_of_the_two_does():
    images = mixed((2, 3, 6, 6), 0.0, ("examples", "units", "positions", "positions"), reach=3)
    one = mixed((2, 3, 6, 6), 0.0, ("examples", "units", "positions", "positions"))
    a, b, _ = aligned(images.moments, one.moments)
    assert a.shape == b.shape == (2, 2, 4, 4)
    assert b[0, 0, 1, 0] == b[0, 0, 2, 0] == b[0, 0, 3, 0]


def test_copies_take_the_role_of_what_they_meet():
    copies = Moments(1.0, np.array([1.0]), ((Atom(4, "positions"),),))
    _, _, axes = aligned(copies, Moments.independent(shape=(4,), roles=("units",)))
    assert axes == ((Atom(4, "units"),),)
