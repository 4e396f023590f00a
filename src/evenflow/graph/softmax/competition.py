"""Competition: what a softmax over n independent Gaussian logits does to second moments.

With u_1 … u_n ~ N(0, v) and p = softmax(u), every moment of p is an integral over one variable,
as 1/Zᵏ = ∫ λᵏ⁻¹ e^{−λZ} dλ / (k − 1)! turns a sum of exponentials into a product:

    E[p_1ᵃ p_2ᵇ …] = ∫ λᵏ⁻¹/(k − 1)! g_a(λ) g_b(λ) … g_0(λ)^{n − …} dλ,   k = a + b + …,

g_a(λ) = E[e^{au − λe^u}]. It is exact for every n and v: n·E[Σp²] is 1 + v(1 − 1/n) for
small v, e^v for many keys, and never more than n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from evenflow.graph.moments import Array

_SMALL, _LARGEST = 1e-9, 80.0
"""Below this variance of the logits all p are 1/n; above it the largest takes nearly all."""


@dataclass(frozen=True)
class Competition:
    """For each number of keys n: n·E of sums over keys of products of p, and of log Σeᵘ."""

    square: Array
    """n·E[Σp²]"""
    cube: Array
    """n²·E[Σp³]"""
    square_of_square: Array
    """n²·E[(Σp²)²]"""
    logarithm: Array
    """E[log Σeᵘ]"""


def competition(variance: float, keys: Array) -> Competition:
    """Of independent logits of this variance, for each number of ``keys``, which may be broken."""
    if variance > _LARGEST:  # the logarithm is that of the largest, and as wide as all are
        found = competition(_LARGEST, keys)
        return replace(found, logarithm=found.logarithm * math.sqrt(variance / _LARGEST))
    if variance < _SMALL:
        one = np.ones_like(keys)
        return Competition(one, one, one, np.log(keys))
    rounded = float(f"{variance:.6g}")
    if keys.size <= _NODES:
        return _competition(rounded, tuple(keys.ravel().tolist()), keys.shape)
    low, high = float(keys.min()), float(keys.max())
    nodes = np.geomspace(low, high, _NODES) if high > low else np.array([low])
    at = _competition(rounded, tuple(nodes.tolist()), nodes.shape)
    where = np.log(keys)
    told = (np.interp(where, np.log(nodes), each) for each in (
        at.square, at.cube, at.square_of_square, at.logarithm))  # fmt: skip
    return Competition(*told)


_NODES = 48
"""More numbers of keys than this are told by interpolation between as many."""


@lru_cache(maxsize=4096)
def _competition(variance: float, keys: tuple[float, ...], shape: tuple[int, ...]) -> Competition:
    n = np.array(keys)
    lam, g = _transforms(variance)
    step = math.log(lam[1] / lam[0])
    rest = g[0] ** (n[:, None] - 1)
    # d λ = λ d log λ; trapezoids of a smooth function that vanishes at both ends.
    square = n * (rest @ (lam**2 * g[2])) * step
    cube = n * (rest @ (lam**3 / 2 * g[3])) * step
    fourth = n * (rest @ (lam**4 / 6 * g[4])) * step
    with np.errstate(divide="ignore", invalid="ignore"):
        two = np.where(g[0] > 0, lam**4 / 6 * g[2] ** 2 / g[0], 0.0)
    pairs = n * (n - 1) * (rest @ two) * step
    logarithm = ((np.exp(-lam) - rest * g[0]).sum(axis=1)) * step
    found = (n * square, n**2 * cube, n**2 * (fourth + pairs), logarithm)
    return Competition(*(each.reshape(shape) for each in found))


@lru_cache(maxsize=256)
def _transforms(variance: float) -> tuple[Array, Array]:
    """λ on a logarithmic grid, and g_0 … g_4 there."""
    deviation = math.sqrt(variance)
    t = np.arange(-8.0, 8.0 + 4 * deviation, 0.125)  # e^{4u} moves the density by 4σ
    level = math.log(0.125 / math.sqrt(2 * math.pi))
    u = deviation * t
    lam = np.exp(np.arange(-34.0 - 8 * deviation, 8.0 + 8 * deviation, 0.125))
    with np.errstate(under="ignore"):
        damped = np.exp(-np.outer(lam, np.exp(u)))
        powers = np.stack([np.exp(a * u - t * t / 2 + level) for a in range(5)], axis=1)
    return lam, (damped @ powers).T
