"""Orthogonal matrices: orthonormal, uniform over the group, and how far machines may differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evenflow.planning.distributions import DeltaOrthogonal, Normal, Orthogonal
from evenflow.sampling import sample
from evenflow.sampling.contract import key
from evenflow.sampling.orthogonal import TOLERANCE, orthogonal


@pytest.mark.parametrize("shape", [(7, 7), (12, 5), (5, 12), (6, 2, 3, 3), (1, 4), (40, 4, 1, 3)])
def test_the_shorter_side_is_orthonormal(shape: tuple[int, ...]) -> None:
    weight = sample(Orthogonal(1.5), shape, seed=0, name="w", dtype="float64")
    matrix = weight.reshape(shape[0], -1)
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    assert short @ short.T == pytest.approx(2.25 * np.eye(len(short)), abs=1e-13)


@pytest.mark.parametrize("n", [3, 30, 150])
def test_another_algorithm_agrees_within_the_tolerance(n: int) -> None:
    normal = sample(Normal(1.0), (n, n), seed=0, name="w", dtype="float64")
    assert np.abs(orthogonal((n, n), key(0, "w")) - gram_schmidt(normal)).max() < TOLERANCE


def gram_schmidt(matrix: np.ndarray) -> np.ndarray:
    """Orthonormalise the columns one after the other, twice each, in extended precision."""
    q = matrix.astype(np.longdouble)
    for column in range(q.shape[1]):
        for _ in range(2):
            before = q[:, :column]
            q[:, column] -= before @ (before.T @ q[:, column])
        q[:, column] /= np.sqrt((q[:, column] ** 2).sum())
    return q.astype(np.float64)


def test_directions_are_uniform() -> None:
    """Under Haar's measure each column is uniform on the sphere and signs are fair."""
    matrices = np.stack(
        [sample(Orthogonal(), (4, 4), seed=s, name="w", dtype="float64") for s in range(3000)]
    )
    assert stats.kstest(matrices[:, 0, 0], beta_cdf).pvalue > 1e-3
    assert stats.kstest(matrices[:, 3, 3], beta_cdf).pvalue > 1e-3
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert abs(traces.mean()) < 4 / math.sqrt(3000)
    assert abs((traces**2).mean() - 1) < 4 * math.sqrt(2 / 3000)  # E tr² = 1, E tr⁴ = 3
    assert abs(np.linalg.det(matrices).mean()) < 4 / math.sqrt(3000)


def beta_cdf(x: np.ndarray) -> np.ndarray:
    """Of one coordinate of a point on the unit sphere in four dimensions."""
    return stats.beta.cdf((x + 1) / 2, 1.5, 1.5)


@pytest.mark.parametrize(("out", "into"), [(6, 4), (4, 6)])
def test_delta_orthogonal_holds_its_matrix_at_the_centre_alone(out: int, into: int) -> None:
    weight = sample(DeltaOrthogonal(2.0), (out, into, 3, 4), seed=0, name="w")
    centre = weight[:, :, 1, 1]
    assert (centre == sample(Orthogonal(2.0), (out, into), seed=0, name="w")).all()
    assert np.count_nonzero(weight) == out * into
    short = centre if out <= into else centre.T
    assert short @ short.T == pytest.approx(4 * np.eye(4), abs=1e-5)


def test_the_seed_and_the_name_decide() -> None:
    first = sample(Orthogonal(), (5, 5), seed=0, name="w")
    assert (first == sample(Orthogonal(), (5, 5), seed=0, name="module.w")).all()
    assert not np.allclose(first, sample(Orthogonal(), (5, 5), seed=1, name="w"))
    assert not np.allclose(first, sample(Orthogonal(), (5, 5), seed=0, name="v"))
