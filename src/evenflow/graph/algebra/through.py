"""Through an activation: E[φ(z)φ(z′)] for every pair of elements of a Gaussian tensor.

For two Gaussians of correlation ρ it is Σ a_k² ρ^k, with a_k the coefficients of φ in normalised
Hermite polynomials (Mehler). One set of coefficients serves all pairs. q′ = Σ a_k² itself comes
from the exact quadrature of ``theory.gain``; what the degrees that are kept leave of it is counted
as one high degree more. The same sum over the coefficients of φ′ is what multiplies the gradients.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from evenflow.graph.laws.law import Law, hermite, summed_series, underlying
from evenflow.graph.laws.lean import Lean, of_slope
from evenflow.graph.moments import Array, Moments
from evenflow.theory.activations import Activation
from evenflow.theory.activations.activation import Curve
from evenflow.theory.gain import gain

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


def law_through(z: Moments, activation: Activation) -> Law:
    """How φ(z) is distributed."""
    return Law(lambda: _at_nodes(z, activation.function))


def lean_through(z: Moments, activation: Activation, lean: Lean | None) -> Lean:
    """How the gradient of z depends on it, given how that of φ(z) does."""

    def slope() -> Array:
        return _at_nodes(z, activation.derivative)

    return of_slope(slope) if lean is None else lean.times(slope)


def slopes(z: Moments, activation: Activation, lean: Lean | None = None) -> Array:
    """E[φ′(z)φ′(z′)] for every pair: what an activation does to the pairs of a gradient, which may
    itself lean on φ(z)."""
    if z.spread < _EVEN:
        return _slopes(z, activation, lean)
    return np.asarray(sum(weight * _slopes(part, activation, lean) for weight, part in _norms(z)))


def leant(z: Moments, values: Array, lean: Lean) -> Array:
    """E[δδ′·f(z)f(z′)]/E[δδ′] for every pair, δ a gradient that leans on z, f given by its
    ``values`` at the nodes of z's law. 0 where no gradient is left."""
    second, factor = lean.profile
    both = factor * values
    products = _series(z, both, _mean(both**2))
    alone = _series(z, factor, 1.0)
    known = np.abs(alone) > _CLOSED * float(np.max(np.abs(alone)))
    found = np.where(known, products / np.where(known, alone, 1.0), 0.0)
    found.flat[0] = _mean(second * values**2)
    return found


def square_pairs(z: Moments, activation: Activation) -> Array:
    """Cov(φ(z)², φ(z′)²)/E[φ²]² for every pair: how a mean square of them fluctuates."""
    return _relative_pairs(z, activation.function, operating(z, activation).second)


def slope_pairs(z: Moments, activation: Activation) -> Array:
    """Cov(φ′(z)², φ′(z′)²)/E[φ′²]² for every pair."""
    return _relative_pairs(z, activation.derivative, operating(z, activation).backward)


def mean_slope(z: Moments, activation: Activation) -> float:
    """E[φ′(z)]"""
    return _mean(_at_nodes(z, activation.derivative))


def across(z: Moments, y: Moments, pairs: Array, activation: Activation) -> Array:
    """E[φ(z)φ(y)] of two Gaussian tensors, ``pairs`` their E[z·y]."""
    return _across(z, y, pairs, activation.function)


def slopes_across(z: Moments, y: Moments, pairs: Array, activation: Activation) -> Array:
    """E[φ′(z)φ′(y)] of two Gaussian tensors."""
    return _across(z, y, pairs, activation.derivative)


def _across(z: Moments, y: Moments, pairs: Array, curve: Curve) -> Array:
    scale = math.sqrt(max(z.variance, 0.0) * max(y.variance, 0.0))
    correlation = np.clip((pairs - z.mean * y.mean) / max(scale, 1e-300), -1.0, 1.0)
    correlation = underlying(correlation, z.law, y.law)
    one, other = (_at_nodes(x, curve) @ hermite()[1] for x in (z, y))
    return summed_series(one * other, 0.0, correlation)


def _relative_pairs(z: Moments, curve: Curve, second: float) -> Array:
    if z.variance <= 1e-12 * max(z.second, 1e-300) or second <= 0:
        return np.zeros_like(z.pairs)
    values = np.nan_to_num(_at_nodes(z, curve) ** 2)
    return np.asarray(_series(z, values, _mean(values**2)) / second**2 - 1)


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
    pairs = _series(z, _at_nodes(z, activation.function), at.second)
    return replace(z, mean=at.mean, pairs=pairs, hidden=None)


def _slopes(z: Moments, activation: Activation, lean: Lean | None) -> Array:
    slope = _at_nodes(z, activation.derivative)
    if lean is not None:
        return leant(z, slope, lean)
    return _series(z, slope, operating(z, activation).backward)


class Operating(NamedTuple):
    """Expectations of an activation where a tensor stands."""

    mean: float
    second: float
    forward: float
    """E[φ²]/q"""
    backward: float
    """E[φ′²]"""


def operating(z: Moments, activation: Activation) -> Operating:
    """E[φ], E[φ²] and E[φ′²] where ``z`` stands: exact for a normal tensor."""
    if z.law is None:
        at = gain(activation, q=max(z.second, z.mean**2), mean=z.mean)
        return Operating(at.mean, at.second, at.forward, at.backward)
    values, slope = (_at_nodes(z, c) for c in (activation.function, activation.derivative))
    second = _mean(values**2)
    return Operating(_mean(values), second, second / max(z.second, 1e-300), _mean(slope**2))


def _series(z: Moments, values: Array, total: float) -> Array:
    """Σ c_k² ρ^k for every pair, c_k the Hermite coefficients of what has these ``values`` at the
    nodes, Σ c_k² = ``total``."""
    variance = z.variance
    if variance <= 1e-12 * max(z.second, 1e-300):
        return np.full_like(z.pairs, total)
    correlation = np.clip((z.pairs - z.mean**2) / variance, -1.0, 1.0)
    correlation = underlying(correlation, z.law, z.law)
    shares = (values @ hermite()[1]) ** 2
    kept = shares.sum()
    if kept > total > 0:
        shares *= total / kept
    return summed_series(shares, total - shares.sum(), correlation)


def _at_nodes(z: Moments, curve: Curve) -> Array:
    with np.errstate(all="ignore"):
        values = curve(z.at_nodes)
    return np.asarray(np.nan_to_num(values))


def _mean(values: Array) -> float:
    return float(values @ hermite()[1][:, 0])
