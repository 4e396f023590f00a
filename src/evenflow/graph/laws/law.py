"""Law: how the elements of a tensor are distributed, where that is not normal.

Pre-activations are sums of many terms, hence normal. What an activation makes of them is not, nor
is a sum of it with something else: the stream of a residual network of rectifiers is relu(x + n)
again and again, with x rectified and n normal.

A law is the *shape* of such a distribution, of mean 0 and variance 1; where it stands and how wide
it is are the Moments' to say. It is held as the function h that makes it of a standard normal t,
x = m + s·h(t), at fixed nodes t. Two elements are taken as h of two jointly normal numbers (a
Gaussian copula): with c_k the Hermite coefficients of h these have the correlation ρ at which
Σ c_k² ρ^k is that of the elements. So an activation of such a tensor is an activation φ(m + s·h(t))
of a normal one, and everything ``algebra.through`` knows of these holds.

Sums of independent tensors convolve their laws; parts of a tensor mix theirs. Sums of many terms
have none, and neither has any tensor of which no rule says that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DEGREES = 48
"""Of the Hermite polynomials that correlations are told by."""
REST = 72
"""The degree that stands for all higher ones: those of a kink fall off slowly."""
_END, _POINTS = 9.5, 3002
"""An even number of nodes, so that a kink at 0 lies between two of them."""
_REACH = 7.0
"""Where tails end in a sum: what lies beyond has a probability of 1e-12."""
CELLS = 4096
"""Of equal width, by which distributions are added up."""
_CORRELATIONS = 1001
_LEAST = 1e-300


class Law:
    """The shape of a distribution, worked out when it is first asked for.

    ``make`` gives values at the nodes t of ``hermite``, of any mean and variance.
    """

    def __init__(self, make: Callable[[], Array]) -> None:
        self._make = make

    @cached_property
    def values(self) -> Array:
        """h(t): mean 0, variance 1."""
        found, weights = self._make(), hermite()[1][:, 0]
        found = found - weights @ found
        return np.asarray(found / math.sqrt(max(float(weights @ found**2), _LEAST)))

    def reflected(self) -> Law:
        """Of −x."""
        return Law(lambda: -self.values[::-1])

    @cached_property
    def alike(self) -> tuple[Array, Array]:
        """Correlations of two elements, rising, and of the normal numbers behind them."""
        return _alike(self, self)


def underlying(correlation: Array, one: Law | None, other: Law | None) -> Array:
    """Correlation of the two normal numbers behind an element of each law, of this correlation."""
    if one is None and other is None:
        return correlation
    theirs, ours = one.alike if one is other and one is not None else _alike(one, other)
    return np.interp(correlation, theirs, ours)


def _alike(one: Law | None, other: Law | None) -> tuple[Array, Array]:
    projector = hermite()[1]
    shares = (shape_of(one) @ projector) * (shape_of(other) @ projector)
    ours = np.linspace(-1.0, 1.0, _CORRELATIONS)
    rest = 1.0 - float(shares.sum()) if one is other else 0.0
    theirs = summed_series(shares, rest, ours)
    middle = _CORRELATIONS // 2
    theirs[middle:] = np.maximum.accumulate(theirs[middle:])
    theirs[: middle + 1] = np.minimum.accumulate(theirs[middle::-1])[::-1]
    return theirs, ours


def summed_series(shares: Array, rest: float, correlation: Array) -> Array:
    """Σ shares_k ρ^k, and ``rest`` at one high degree."""
    found = np.zeros_like(correlation)
    for share in shares[::-1]:
        found = found * correlation + share
    return np.asarray(found + max(rest, 0.0) * correlation**REST)


@lru_cache(maxsize=1)
def hermite() -> tuple[Array, Array]:
    """Nodes t, and weights by which values at the nodes become Hermite coefficients."""
    t = np.linspace(-_END, _END, _POINTS)
    density = np.exp(-0.5 * t * t)
    density /= density.sum()
    columns = [np.ones_like(t), t]
    for k in range(1, DEGREES):  # normalised: h_{k+1} = (t h_k − √k h_{k−1}) / √(k+1)
        columns.append((t * columns[-1] - math.sqrt(k) * columns[-2]) / math.sqrt(k + 1))
    return t, density[:, None] * np.stack(columns, axis=1)


def shape_of(law: Law | None) -> Array:
    """h at the nodes; a normal tensor's is t itself."""
    return hermite()[0] if law is None else law.values


def summed_law(one: tuple[float, Law | None], other: tuple[float, Law | None]) -> Law | None:
    """Of the sum of two independent tensors, each given by its standard deviation and law."""
    for (_, law), (rest, _) in ((one, other), (other, one)):
        if rest == 0:
            return law
    if one[1] is None and other[1] is None:
        return None
    return Law(lambda: _convolved(one, other))


def _convolved(*parts: tuple[float, Law | None]) -> Array:
    each = [scale * shape_of(law) for scale, law in parts]
    spans = [span(values) for values in each]
    width = sum(high - low for low, high in spans) / CELLS
    masses = [binned(values, low, width) for values, (low, _) in zip(each, spans, strict=True)]
    first, second = (np.fft.rfft(mass, 2 * CELLS) for mass in masses)
    mass: Array = np.maximum(np.fft.irfft(first * second), 0.0)
    places: Array = spans[0][0] + spans[1][0] + width * np.arange(2.0 * CELLS)
    return _quantiles(places, mass)


def span(values: Array) -> tuple[float, float]:
    """Least and largest of values at the nodes, without their tails."""
    near = values[np.abs(hermite()[0]) <= _REACH]
    return float(near.min()), float(near.max())


def binned(values: Array, low: float, width: float) -> Array:
    """Probability of values at the nodes by cell, the first at ``low``; what lies between two
    cells is shared."""
    weights = hermite()[1][:, 0]
    place = np.clip((values - low) / max(width, _LEAST), 0.0, CELLS - 1.001)
    left = place.astype(np.int64)
    part = place - left
    found = np.bincount(left, weights * (1 - part), minlength=CELLS)
    return np.asarray(found + np.bincount(left + 1, weights * part, minlength=CELLS))


def mixed_law(parts: Iterable[tuple[float, float, float, Law | None]]) -> Law:
    """Of elements of several kinds, each given by how frequent it is, its mean, its standard
    deviation and its law."""
    kept = list(parts)

    def make() -> Array:
        weights = hermite()[1][:, 0]
        values = np.concatenate([mean + scale * shape_of(law) for _, mean, scale, law in kept])
        return sampled(values, np.concatenate([share * weights for share, *_ in kept]))

    return Law(make)


def sampled(values: Array, weights: Array) -> Array:
    """What a standard normal becomes at the nodes, to be distributed as weighted values are."""
    order = np.argsort(values, axis=None)
    return _quantiles(values.ravel()[order], weights.ravel()[order])


def _quantiles(values: Array, mass: Array) -> Array:
    """Of a distribution with ``mass`` at each of ``values``, which rise."""
    from scipy.special import ndtri  # slow to import, and few networks need it

    mass = mass / mass.sum()
    below = np.cumsum(mass) - mass / 2
    above = np.cumsum(mass[::-1])[::-1] - mass / 2
    score = np.where(
        below < 0.5, ndtri(np.maximum(below, _LEAST)), -ndtri(np.maximum(above, _LEAST))
    )
    return np.asarray(np.interp(hermite()[0], score, values))
