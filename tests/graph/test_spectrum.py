"""Means of one over a mean of squares, against closed form and drawn Gaussians."""

import math

import numpy as np
import pytest
from torch import nn

from evenflow.graph.algebra.spectrum import divided, mean_inverse, spectrum

from .laws import Law
from .monte_carlo import disagreements


@pytest.mark.parametrize("n", [6, 20, 1000])
def test_independent_ones_are_an_inverse_chi_square(n):
    assert mean_inverse(np.array([1.0, 0.0]), [n], 0.0) == pytest.approx(n / (n - 2), rel=1e-4)


def test_perfectly_alike_ones_with_an_epsilon():
    """E[1/(z² + ε)] = √(π/2ε) e^{ε/2} erfc(√(ε/2))."""

    eps = 0.01
    expected = math.sqrt(math.pi / 2 / eps) * math.exp(eps / 2) * math.erfc(math.sqrt(eps / 2))
    assert mean_inverse(np.array([1.0, 1.0]), [9], eps) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("curves", "sizes", "exact"),
    [
        ([np.array([1.0, 0.3])], [12], 1e-9),
        ([np.array([1.0, 0.5]), np.array([1.0, 0.4])], [4, 6], 1e-9),
        ([np.array([1.0, 0.5]), np.array([1.0, 0.9, 0.7, 0.4, 0.2])], [4, 16], 0.03),
    ],
)
def test_drawn_gaussians(curves, sizes, exact):
    """Correlations that fall off with the distance, or are one value between any two examples."""
    matrix, cases, entry = gram(curves, sizes)
    values = np.maximum(np.linalg.eigvalsh(matrix), 0)
    shares, often = spectrum(cases, sizes)
    found = np.sort(np.repeat(shares, often.astype(int)))
    assert found == pytest.approx(np.sort(values) / values.sum(), abs=exact)
    noise = np.random.default_rng(0).standard_normal((200_000, len(values)))
    squares = np.mean((noise * np.sqrt(values)) ** 2, axis=1) * len(values) / values.sum()
    assert mean_inverse(cases, sizes, 0.1) == pytest.approx(np.mean(1 / (squares + 0.1)), rel=0.02)
    directions = np.linalg.eigh(matrix)[1]
    left = np.mean((noise * np.sqrt(values)) ** 2 / (squares + 0.1)[:, None], axis=0)
    alike = (directions * left) @ directions.T
    measured = np.bincount(entry.ravel(), alike.ravel()) / np.bincount(entry.ravel())
    told = divided(cases, sizes, 0.1).ravel()
    assert told == pytest.approx(measured / measured[0], abs=max(2 * exact, 0.01))
    assert told[0] == pytest.approx(1.0, abs=exact)


def gram(curves, sizes):
    """E[x·x′] of every two, by case, and which case every two are."""
    matrix, cases, entry = np.ones((1, 1)), np.ones(()), np.zeros((1, 1), dtype=int)
    for curve, size in zip(curves, sizes, strict=True):
        i = np.arange(size)
        apart = np.minimum(np.abs(i[:, None] - i), len(curve) - 1)
        matrix = np.kron(matrix, curve[apart])
        cases = np.multiply.outer(cases, curve)
        entry = np.kron(entry * len(curve), np.ones_like(apart)) + np.kron(
            np.ones_like(entry), apart
        )
    return matrix, cases, entry


def test_what_is_divided_by_steady_sizes_stays_as_it_is():
    curve = np.array([1.0, 0.02])
    assert divided(curve, [4000], 0.0) is curve
    n = 12
    told = divided(np.array([1.0, -1 / (n - 1)]), [n], 0.0)  # a mean taken off: all else is even
    assert told == pytest.approx([1.0, -1 / (n - 1)])


def test_channels_of_few_examples_are_less_alike_once_each_is_divided_by_its_own_size():
    law = Law((4, 512, 3), {(0, 1): 0.6, (0, 1, 2): 0.3}, roles=("examples", "units", "positions"))
    norm = nn.BatchNorm1d(512, affine=False)
    assert "result" not in disagreements(norm, law, draws=40, tolerance=0.005)
