"""Through an activation: E[φ(z)φ(z′)] for every pair of elements of a Gaussian tensor.

For two Gaussians of correlation ρ it is Σ a_k² ρ^k, with a_k the coefficients of φ in normalised
Hermite polynomials (Mehler). One set of coefficients serves all pairs. q′ = Σ a_k² itself comes
from the exact quadrature of ``theory.gain``; what the degrees that are kept leave of it is counted
as one high degree more. The same sum over the coefficients of φ′ is what multiplies the gradients.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from evenflow.graph.moments import Array, Moments
from evenflow.theory.activations import Activation
from evenflow.theory.activations.activation import Curve
from evenflow.theory.gain import Gain, gain

_DEGREES = 48
_REST = 72
"""The degree that stands for all higher ones: those of a kink fall off slowly."""
_END, _POINTS = 9.5, 3002
"""An even number of nodes, so that a kink at 0 lies between two of them."""
_CLOSED = 1e-3
"""Of the largest: a product of slopes below this leaves nothing of a gradient."""
_EVEN = 1e-6
"""A spread of norms below this is none."""


def through(z: Moments, activation: Activation) -> Moments:
    """Moments of φ(z), z Gaussian; with a spread of norms, a mixture of such."""
    if z.spread < _EVEN:
        return _through(z, activation)
    weights, parts = zip(*_norms(z), strict=True)
    each = [_through(part, activation) for part in parts]
    seconds = np.array([found.second for found in each])
    second = float(np.dot(weights, seconds))
    spread = float(np.dot(weights, seconds**2)) / second**2 - 1 if second > 0 else 0.0
    return replace(
        each[0],
        mean=float(np.dot(weights, [found.mean for found in each])),
        pairs=np.einsum("w,w...->...", np.array(weights), np.stack([f.pairs for f in each])),
        spread=max(spread, 0.0),
    )


def slopes(z: Moments, activation: Activation) -> Array:
    """E[φ′(z)φ′(z′)] for every pair: what an activation does to the pairs of a gradient."""
    if z.spread < _EVEN:
        return _slopes(z, activation)
    return np.asarray(sum(weight * _slopes(part, activation) for weight, part in _norms(z)))


def square_pairs(z: Moments, activation: Activation) -> Array:
    """Cov(φ(z)², φ(z′)²)/E[φ²]² for every pair: how a mean square of them fluctuates."""
    return _relative_pairs(z, activation.function, operating(z, activation).second)


def slope_pairs(z: Moments, activation: Activation) -> Array:
    """Cov(φ′(z)², φ′(z′)²)/E[φ′²]² for every pair."""
    return _relative_pairs(z, activation.derivative, operating(z, activation).backward)


def leaning(z: Moments, activation: Activation) -> Array:
    """E[φ′(z)ẑ φ′(z′)ẑ′]/E[φ′(z)φ′(z′)] for every pair, ẑ the standardised z: the slope leaves more
    of a gradient at some values than at others. 0 where no slope is left."""
    spread, mean = math.sqrt(max(z.variance, 1e-300)), z.mean

    def moved(values: Array) -> Array:
        return np.asarray(activation.derivative(values) * (values - mean) / spread)

    t, projector = _hermite()
    with np.errstate(all="ignore"):
        values = np.nan_to_num(moved(mean + spread * t))
    products = _series(z, moved, float(values**2 @ projector[:, 0]))
    open_ = _slopes(z, activation)
    known = np.abs(open_) > _CLOSED * float(np.max(np.abs(open_)))
    return np.where(known, products / np.where(known, open_, 1.0), 0.0)


def mean_slope(z: Moments, activation: Activation) -> float:
    """E[φ′(z)]"""
    t, projector = _hermite()
    with np.errstate(all="ignore"):
        values = np.nan_to_num(activation.derivative(z.mean + math.sqrt(max(z.variance, 0.0)) * t))
    return float(values @ projector[:, 0])


def across(z: Moments, y: Moments, pairs: Array, activation: Activation) -> Array:
    """E[φ(z)φ(y)] of two Gaussian tensors, ``pairs`` their E[z·y]."""
    return _across(z, y, pairs, activation.function)


def slopes_across(z: Moments, y: Moments, pairs: Array, activation: Activation) -> Array:
    """E[φ′(z)φ′(y)] of two Gaussian tensors."""
    return _across(z, y, pairs, activation.derivative)


def _across(z: Moments, y: Moments, pairs: Array, curve: Curve) -> Array:
    scale = math.sqrt(max(z.variance, 0.0) * max(y.variance, 0.0))
    correlation = np.clip((pairs - z.mean * y.mean) / max(scale, 1e-300), -1.0, 1.0)
    t, projector = _hermite()
    with np.errstate(all="ignore"):
        one, other = (
            np.nan_to_num(curve(x.mean + math.sqrt(max(x.variance, 0.0)) * t)) @ projector
            for x in (z, y)
        )
    found = np.zeros_like(correlation)
    for product in (one * other)[::-1]:
        found = found * correlation + product
    return found


def _relative_pairs(z: Moments, curve: Curve, second: float) -> Array:
    if z.variance <= 1e-12 * max(z.second, 1e-300) or second <= 0:
        return np.zeros_like(z.pairs)

    def squared(values: Array) -> Array:
        return np.asarray(curve(values) ** 2)

    t, projector = _hermite()
    with np.errstate(all="ignore"):
        values = np.nan_to_num(squared(z.mean + math.sqrt(z.variance) * t))
    return np.asarray(_series(z, squared, float(values**2 @ projector[:, 0])) / second**2 - 1)


def _norms(z: Moments) -> list[tuple[float, Moments]]:
    """Examples of small, middling and large norm, and how frequent they are (a gamma law's)."""
    nodes, weights = hermegauss(5)
    width = math.sqrt(math.log1p(z.spread))
    factors = np.exp(width * nodes - width**2 / 2)
    # The mean stays: what differs between examples is the size of the fluctuations.
    return [
        (
            float(weight / weights.sum()),
            replace(z, pairs=z.mean**2 + factor * (z.pairs - z.mean**2), spread=0.0),
        )
        for factor, weight in zip(factors, weights, strict=True)
    ]


def _through(z: Moments, activation: Activation) -> Moments:
    at = operating(z, activation)
    pairs = _series(z, activation.function, at.second)
    return replace(z, mean=at.mean, pairs=pairs, hidden=None)


def _slopes(z: Moments, activation: Activation) -> Array:
    return _series(z, activation.derivative, operating(z, activation).backward)


def operating(z: Moments, activation: Activation) -> Gain:
    """The gains at the point where ``z`` stands."""
    return gain(activation, q=max(z.second, z.mean**2), mean=z.mean)


def _series(z: Moments, curve: Curve, total: float) -> Array:
    """Σ c_k² ρ^k for every pair, c_k the Hermite coefficients of ``curve``, Σ c_k² = ``total``."""
    variance = z.variance
    if variance <= 1e-12 * max(z.second, 1e-300):
        return np.full_like(z.pairs, total)
    correlation = np.clip((z.pairs - z.mean**2) / variance, -1.0, 1.0)
    t, projector = _hermite()
    with np.errstate(all="ignore"):
        values = curve(z.mean + math.sqrt(variance) * t)
    shares = (np.nan_to_num(values) @ projector) ** 2
    kept = shares.sum()
    if kept > total > 0:
        shares *= total / kept
    rest = max(total - shares.sum(), 0.0)
    found = np.zeros_like(correlation)
    for share in shares[::-1]:
        found = found * correlation + share
    return np.asarray(found + rest * correlation**_REST)


@lru_cache(maxsize=1)
def _hermite() -> tuple[Array, Array]:
    """Nodes t, and weights by which values at the nodes become Hermite coefficients."""
    t = np.linspace(-_END, _END, _POINTS)
    density = np.exp(-0.5 * t * t)
    density /= density.sum()
    columns = [np.ones_like(t), t]
    for k in range(1, _DEGREES):  # normalised: h_{k+1} = (t h_k − √k h_{k−1}) / √(k+1)
        columns.append((t * columns[-1] - math.sqrt(k) * columns[-2]) / math.sqrt(k + 1))
    return t, density[:, None] * np.stack(columns, axis=1)
