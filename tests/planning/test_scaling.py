"""Second moments of distributions as they lie on a parameter, against drawn values."""

import numpy as np
import pytest

from evenflow.graph.laws.law import hermite
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.scaling import moments, rescaled, scaled, second_moment
from evenflow.sampling import sample

CASES = {
    "uniform": (Uniform(0.5), (64, 96)),
    "normal": (Normal(0.3), (64, 96)),
    "truncated": (TruncatedNormal(0.3), (64, 96)),
    "constant": (Constant(-0.7), (64, 96)),
    "orthogonal, wide": (Orthogonal(1.5), (32, 96)),
    "orthogonal, tall": (Orthogonal(1.5), (96, 32)),
    "orthogonal, taps": (Orthogonal(), (32, 16, 3, 3)),
    "delta-orthogonal": (DeltaOrthogonal(2.0), (48, 16, 3, 3)),
    "blocks": (Blocks(0, (16, 48), (Normal(0.1), Orthogonal(2.0))), (64, 96)),
    "blocks across": (Blocks(1, (32, 64), (Uniform(1.0), Constant(0.5))), (64, 96)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_second_moment_is_that_of_drawn_values(name):
    distribution, shape = CASES[name]
    drawn = sample(distribution, shape, seed=0, name=name, dtype="float64")
    assert np.square(drawn).mean() == pytest.approx(second_moment(distribution, shape), rel=0.04)


@pytest.mark.parametrize("name", CASES)
def test_a_rescaled_distribution_draws_rescaled_values(name):
    distribution, shape = CASES[name]
    before, after = (
        sample(each, shape, seed=0, name="w", dtype="float64")
        for each in (distribution, rescaled(distribution, 0.5))
    )
    assert after == pytest.approx(0.5 * before, rel=1e-9)


def test_a_truncated_normal_keeps_its_cut():
    assert scaled(TruncatedNormal(0.2, 3.0), 2.0) == TruncatedNormal(0.4, 3.0)


def test_moments_of_a_parameter():
    constant = moments(Constant(-2.0), (3,))
    assert (constant.mean, constant.second, constant.pairs[-1]) == (-2.0, 4.0, 4.0)
    drawn = moments(Normal(0.5), (3, 3))
    assert (drawn.mean, drawn.second, drawn.pairs[0, 1], drawn.pairs[1, 1]) == (0.0, 0.25, 0, 0)


def test_a_vector_has_the_law_that_it_is_drawn_from():
    weights = hermite()[1][:, 0]
    assert weights @ moments(Uniform(0.5), (8,)).law.values ** 4 == pytest.approx(1.8, rel=1e-3)
    assert moments(TruncatedNormal(0.3), (8,)).law.values.max() == pytest.approx(
        2 / 0.8796, rel=1e-3
    )
    assert moments(Normal(0.5), (8,)).law is None
    assert moments(Uniform(0.5), (8, 8)).law is None
