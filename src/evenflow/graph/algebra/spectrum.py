"""Spectrum: how a mean of squares of correlated Gaussians scatters, and what one over it is.

For Gaussians with correlation matrix of eigenvalues λ_k, Σλ_k = n, the mean square over q is
Σ λ_k χ²_k / n, and for l_k = λ_k/n

    E[1/(q Σ l_k χ²_k + ε)] = 1/q ∫_0^∞ e^{−sε/q} Π (1 + 2 l_k s)^{−½} ds.

Equal eigenvalues give the inverse chi-square's n/(n − 2); few that outweigh the rest (smooth
images, where all pixels of a channel go up and down together) give much more.

Divided by their own mean square, Gaussians have a flatter spectrum: a draw in which a large
eigenvalue's direction is strong is divided by more,

    E[l_i χ²_i / (Σ l_k χ²_k + ε)] = ∫_0^∞ l_i/(1 + 2 l_i s) e^{−sε} Π (1 + 2 l_k s)^{−½} ds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np

from evenflow.graph.algebra.pairs import counts
from evenflow.graph.moments import Array

_BINS = 48
_STEADY = 0.01
"""A relative variance of the mean square below which 1/(1 − it) does."""


def mean_inverse(correlation: Array, sizes: Sequence[int], eps: float) -> float:
    """E[1/(s + eps)], s the mean square of Gaussians of second moment 1 whose correlations are
    those of ``correlation``, by where two of them differ along axes of these ``sizes``."""
    return inverse_of(*spectrum(correlation, sizes), eps)


def inverse_of(shares: Array, often: Array, eps: float) -> float:
    """The same by the spectrum."""
    scatter = 2 * float(np.sum(often * shares**2))
    if scatter < _STEADY:
        return (1 + scatter / (1 + eps) ** 2) / (1 + eps)
    s, decay = _decay(*_binned(shares, often), eps)
    return float(np.trapezoid(decay * s, np.log(s)))


def divided(correlation: Array, sizes: Sequence[int], eps: float) -> Array:
    """Correlations of such Gaussians divided by √(s + eps), but for its mean."""
    shares, often = spectrum(correlation, sizes)
    left = left_of(shares, often, eps)
    if left is None:
        return correlation
    shape = modes(correlation, sizes)[1].shape
    change = (often * shares * (left - 1)).reshape(shape)
    return correlation + prod(sizes) * from_modes(change, sizes, correlation.shape, 0)


def left_of(shares: Array, often: Array, eps: float) -> Array | None:
    """What division by √(s + eps) leaves of each share; None where it leaves them as they are."""
    if 2 * float(np.sum(often * shares**2)) < _STEADY:
        return None
    nodes, count = _binned(shares, often)
    s, decay = _decay(nodes, count, eps)
    each = np.trapezoid(decay * s / (1 + 2 * np.multiply.outer(nodes, s)), np.log(s))
    order = np.argsort(nodes)
    left: Array = np.interp(shares, nodes[order], each[order])
    return left / float(np.sum(often * shares * left))


def _decay(shares: Array, often: Array, eps: float) -> tuple[Array, Array]:
    """Nodes s, and e^{−sε} Π (1 + 2 l_k s)^{−½} there."""
    s = np.exp(np.linspace(-12.0, 14.0, 261))
    return s, np.exp(-0.5 * (np.log1p(2 * np.multiply.outer(s, shares)) @ often) - s * eps)


def spectrum(correlation: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Shares l_k of the trace that eigenvalues have, and how many there are of each.

    Along an axis whose distances are told apart the eigenvectors are taken as cosines.
    """
    values, often = modes(correlation, sizes)
    shares = np.maximum(values, 0.0).ravel()
    often = often.ravel()
    trace = float(np.sum(shares * often))
    return (shares / trace, often) if trace > 0 else (np.ones(1), np.ones(1))


def modes(pairs: Array, sizes: Sequence[int], first: int = 0) -> tuple[Array, Array]:
    """Eigenvalues of E[x·x′] by where two elements differ, along dimensions from ``first`` on, and
    how many there are of each."""
    often: Array = np.ones(())
    for dim, size in enumerate(sizes, first):
        matrix, count = _transform(size, pairs.shape[dim])
        pairs = np.moveaxis(np.tensordot(matrix, pairs, axes=(1, dim)), 0, dim)
        often = np.multiply.outer(often, count)
    return pairs, often


def from_modes(values: Array, sizes: Sequence[int], lengths: Sequence[int], first: int) -> Array:
    """What such eigenvalues, each times how many there are of it, add to pairs by distance."""
    for dim, (size, length) in enumerate(zip(sizes, lengths, strict=True), first):
        matrix = _transform(size, length)[0] / np.maximum(counts(size, length), 1.0)
        values = np.moveaxis(np.tensordot(matrix, values, axes=(0, dim)), 0, dim)
    return values


@lru_cache(maxsize=1024)
def _transform(size: int, length: int) -> tuple[Array, Array]:
    """Matrix from E[x·x′] by distance along one axis to eigenvalues, and their multiplicities."""
    if length == 1:
        return np.array([[float(size)]]), np.ones(1)
    if length == 2:
        return np.array([[1.0, size - 1.0], [1.0, -1.0]]), np.array([1.0, size - 1.0])
    wave = np.arange(size)[:, None]
    basis = np.cos(np.pi * wave * (np.arange(size) + 0.5) / size)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    near = [
        (1 if d == 0 else 2) * np.sum(basis[:, d:] * basis[:, : size - d], axis=1)
        for d in range(length - 1)
    ]
    beyond = basis.sum(axis=1) ** 2 - np.sum(near, axis=0)
    return np.stack([*near, beyond], axis=1), np.ones(size)


def _binned(shares: Array, often: Array) -> tuple[Array, Array]:
    """Neighbouring shares as one: the larger the finer."""
    if len(shares) <= _BINS:
        return shares, often
    level = np.log(np.maximum(shares, 1e-12))
    which = ((level - level.min()) / max(float(np.ptp(level)), 1e-12) * (_BINS - 1)).astype(int)
    count = np.bincount(which, often, minlength=_BINS)
    total = np.bincount(which, often * shares, minlength=_BINS)
    kept = count > 0
    return np.asarray(total[kept] / count[kept]), np.asarray(count[kept], dtype=np.float64)
