"""Arithmetic of Moments, against tensors that have them."""

import numpy as np
import pytest

from evenflow.graph.moments import Moments

UNITS = 400_000


def drawn(rng, m):
    """(unit, example, position), two examples of two positions of each unit."""
    common = np.sqrt(m.shared_examples - m.mean**2) * rng.standard_normal((UNITS, 1, 1))
    own = np.sqrt(m.shared_positions - m.shared_examples) * rng.standard_normal((UNITS, 2, 1))
    rest = np.sqrt(m.second - m.shared_positions) * rng.standard_normal((UNITS, 2, 2))
    return m.mean + common + own + rest


def measured(x):
    one, other, elsewhere = x[:, 0, 0], x[:, 1, 0], x[:, 0, 1]
    return [x.mean(), (x**2).mean(), (one * other).mean(), (one * elsewhere).mean()]


def said(m):
    return [m.mean, m.second, m.shared_examples, m.shared_positions]


X, Y = Moments(0.5, 2.0, 0.8, 1.2), Moments(-1.0, 3.0, 1.5, 2.5)


@pytest.mark.parametrize(
    ("moments", "function"),
    [
        (X.plus(Y), lambda x, y: x + y),
        (X.times(Y), lambda x, y: x * y),
        (X.scaled(-3), lambda x, _: -3 * x),
    ],
    ids=["plus", "times", "scaled"],
)
def test_arithmetic_of_independent_tensors(moments, function):
    rng = np.random.default_rng(0)
    found = measured(function(drawn(rng, X), drawn(rng, Y)))
    assert found == pytest.approx(said(moments), rel=0.02, abs=0.02)


def test_a_constant_shares_everything():
    assert Moments.constant(-2.0) == Moments(-2.0, 4.0, 4.0, 4.0)
    assert Moments.constant(-2.0).variance == 0


def test_a_parameter_is_the_same_for_all_examples():
    assert Moments.parameter(0.1, 3.0) == Moments(0.1, 3.0, 3.0, 3.0)


def test_independent_elements_share_their_mean_alone():
    assert Moments.independent(0.5, 2.0) == Moments(0.5, 2.0, 0.25, 0.25)
    assert Moments.independent() == Moments(0.0, 1.0, 0.0, 0.0)
    assert Moments.independent(0.5, 2.0).variance == 1.75
