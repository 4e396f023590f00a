"""Singular values of layer Jacobians: closed forms, the full decomposition, random matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evenflow.errors import InputError
from evenflow.record.jacobian import mean_singular_value, singular_values


@pytest.mark.parametrize("shape", [(30, 30), (20, 50), (50, 20)])
def test_agrees_with_the_singular_value_decomposition(shape):
    rng = np.random.default_rng(0)
    weight, slope = rng.normal(size=shape), rng.uniform(0, 1, shape[0])
    expected = np.linalg.svd(slope[:, None] * weight, compute_uv=False)
    assert_allclose(singular_values(weight, slope), expected, atol=1e-7)


def test_a_diagonal_has_its_own_entries():
    got = singular_values(np.diag([1.0, -3.0, 2.0]), np.array([1.0, 0.5, 0.0]))
    assert_allclose(got, [1.5, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize(("bound", "mean"), [(np.sqrt(6 / 800), 0.849), (1 / 20, 0.490)])
def test_mean_of_glorot_and_of_the_old_heuristic(bound, mean):
    """8s/(3π) for entries of variance s²/n: 0.849 under Glorot, 0.490 under 1/√n."""
    weight = np.random.default_rng(1).uniform(-bound, bound, (400, 400))
    assert mean_singular_value(weight, np.ones(400)) == pytest.approx(mean, rel=0.01)


def test_orthogonal_weights_keep_every_direction():
    q, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(50, 50)))
    assert_allclose(singular_values(q.astype(np.float32), np.ones(50)), 1, atol=1e-6)


def test_wrong_shapes_and_values_are_told():
    with pytest.raises(InputError, match=r"not \(3, 2\) and \(2,\)"):
        singular_values(np.ones((3, 2)), np.ones(2))
    with pytest.raises(InputError, match="NaN"):
        singular_values(np.full((2, 2), np.nan), np.ones(2))
