"""A tensor drawn from Moments has them."""

import numpy as np
import pytest

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.drawn import drawn
from evenflow.graph.numbers.measured import measured

ROLES = ("examples", "positions", "units")
SHAPE = (40, 30, 50)


def of_parts(mean, *variances):
    """Mean plus parts by example, by (example, position), by unit and by element."""
    found = Moments.constant(mean, SHAPE)
    for variance, shape in zip(variances, [(40, 1, 1), (40, 30, 1), (50,), SHAPE], strict=True):
        found = found.plus(Moments.independent(0.0, variance, shape, ROLES[-len(shape) :]))
    return found


def averaged(moments, draws, **options):
    generator = np.random.default_rng(0)
    each = [
        measured(drawn(moments, generator, **options), ROLES[-len(moments.shape) :]).pairs
        for _ in range(draws)
    ]
    return np.mean(each, axis=0)


def test_every_part_comes_back():
    moments = of_parts(0.5, 0.3, 0.2, 0.4, 1.0)
    np.testing.assert_allclose(averaged(moments, 60), moments.pairs, atol=0.04)


def test_a_single_number_is_drawn_as_an_array():
    for positive in (False, True):
        found = drawn(Moments.constant(2.0), np.random.default_rng(0), positive=positive)
        assert isinstance(found, np.ndarray)
        assert found == pytest.approx(2.0)


def test_lognormal_tensors_have_the_same_moments():
    moments = of_parts(2.0, 0.3, 0.1, 0.2, 0.4)
    np.testing.assert_allclose(averaged(moments, 120, positive=True), moments.pairs, rtol=0.02)
    assert drawn(moments, np.random.default_rng(0), positive=True).min() > 0


def test_what_is_not_positive_has_no_positive_draw():
    with pytest.raises(NoRuleError, match="zero or negative"):
        drawn(of_parts(0.1, 1.0, 0.0, 0.0, 0.0), np.random.default_rng(0), positive=True)


def test_neighbours_are_as_alike_as_they_were():
    generator = np.random.default_rng(1)
    white = generator.standard_normal((200, 8, 34, 34))
    smooth = sum(np.roll(white, shift, axis=axis) for shift in (0, 1) for axis in (2, 3)) / 2
    roles = ("examples", "units", "positions", "positions")
    moments = measured(smooth[..., 1:33, 1:33], roles, 3)
    again = measured(drawn(moments, generator), roles, 3)
    np.testing.assert_allclose(again.pairs, moments.pairs, atol=0.03)


def test_norms_spread_as_they_should():
    even = Moments.independent(0.0, 2.0, (4000, 50), ("examples", "units"))
    uneven = Moments(0.0, even.pairs, even.axes, spread=0.5)
    squares = (drawn(uneven, np.random.default_rng(2)) ** 2).mean(axis=1)
    assert squares.mean() == pytest.approx(2.0, rel=0.05)
    # of 50 elements each: 2/50 of their own, and what they have in common
    assert squares.var() / squares.mean() ** 2 == pytest.approx(0.5 + 0.06, rel=0.2)


def test_less_alike_than_independent_ones():
    moments = Moments.independent(0.0, 2.0, (500, 3), ("examples", "units"))
    for pair in (-1.0, -0.6):  # they sum to zero, or to little
        moments.pairs[0, 1] = pair
        np.testing.assert_allclose(averaged(moments, 30), moments.pairs, atol=0.05)


def test_masked_elements_are_minus_infinity():
    hidden = np.triu(np.ones((5, 5), dtype=bool), 1)
    moments = Moments(0.0, Moments.independent(0.0, 1.0, (3, 5, 5)).pairs, of_square(), hidden)
    values = drawn(moments, np.random.default_rng(0))
    assert (np.isneginf(values) == hidden).all()


def of_square():
    return Moments.independent(shape=(3, 5, 5)).axes


def test_of_nothing_nothing_varies():
    zeros = measured(np.zeros((4, 3, 5)), ROLES)
    assert (zeros.second, zeros.spread) == (0.0, 0.0)
    assert not drawn(zeros, np.random.default_rng(0)).any()
