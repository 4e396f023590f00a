"""Powers of positive tensors: exact for lognormal ones, near for means of squares."""

import numpy as np
import pytest

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.powers import logarithm, power
from evenflow.graph.moments import Moments

EXPONENTS = [-1.0, -0.5, 0.5, 2.0]


def pair(mean, second, between):
    return Moments(mean, np.array([second, between]), Moments.independent(shape=(2,)).axes)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_lognormal_tensors_have_closed_moments(exponent):
    """y = exp(μ + σz): E[y^a] = exp(aμ + a²σ²/2), whatever the power."""
    mu, variance, shared = 0.3, 0.25, 0.1

    def moment(a):
        return pair(
            np.exp(a * mu + a * a * variance / 2),
            np.exp(2 * a * mu + 2 * a * a * variance),
            np.exp(2 * a * mu + a * a * (variance + shared)),
        )

    found, expected = power(moment(1.0), exponent), moment(exponent)
    assert found.mean == pytest.approx(expected.mean)
    assert found.pairs == pytest.approx(expected.pairs)
    logs = logarithm(moment(1.0))
    assert logs.mean == pytest.approx(mu)
    assert logs.pairs == pytest.approx(mu**2 + np.array([variance, shared]))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_means_of_squares_are_near_lognormal(exponent):
    rng = np.random.default_rng(0)
    common = rng.standard_normal((40_000, 1, 32))
    y = np.mean((0.8 * common + 0.6 * rng.standard_normal((40_000, 2, 32))) ** 2, axis=-1)
    m = pair(y.mean(), np.mean(y**2), np.mean(y[:, 0] * y[:, 1]))
    found, p = power(m, exponent), y**exponent
    assert found.mean == pytest.approx(p.mean(), rel=0.01)
    assert found.pairs == pytest.approx(
        np.array([np.mean(p**2), np.mean(p[:, 0] * p[:, 1])]), rel=0.03
    )


@pytest.mark.parametrize("m", [pair(0.0, 1.0, 0.0), pair(-1.0, 1.1, 1.0), pair(1.0, 2.5, 1.0)])
def test_what_may_be_zero_has_no_powers(m):
    with pytest.raises(NoRuleError, match="zero or negative"):
        power(m, -0.5)
    with pytest.raises(NoRuleError, match="zero or negative"):
        logarithm(m)
