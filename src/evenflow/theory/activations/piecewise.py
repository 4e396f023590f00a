"""Activations that are a polynomial of degree ≤ 2 on each piece: the ReLU family and its kin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from evenflow.theory.activations.activation import Activation, Expectations, error_scales
from evenflow.theory.normal import Array, density, interval_moments

Quadratic = tuple[float, float, float]
"""(c₀, c₁, c₂) of c₀ + c₁z + c₂z²."""

_ZERO: Quadratic = (0.0, 0.0, 0.0)
_IDENTITY: Quadratic = (0.0, 1.0, 0.0)


def linear() -> Activation:
    """z."""
    return _activation("linear", (), (_IDENTITY,))


def relu() -> Activation:
    """max(z, 0)."""
    return _activation("relu", (0.0,), (_ZERO, _IDENTITY))


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """z above zero, negative_slope·z below (Maas et al. 2013)."""
    pieces = ((0.0, negative_slope, 0.0), _IDENTITY)
    return _activation("leaky_relu", (0.0,), pieces, negative_slope=negative_slope)


def prelu(negative_slope: float = 0.25) -> Activation:
    """Leaky ReLU whose slope is learnt and starts at ¼ (He et al. 2015)."""
    pieces = ((0.0, negative_slope, 0.0), _IDENTITY)
    return _activation("prelu", (0.0,), pieces, negative_slope=negative_slope)


def relu6() -> Activation:
    """min(max(z, 0), 6)."""
    return _activation("relu6", (0.0, 6.0), (_ZERO, _IDENTITY, (6.0, 0.0, 0.0)))


def squared_relu() -> Activation:
    """max(z, 0)² (So et al. 2021)."""
    return _activation("squared_relu", (0.0,), (_ZERO, (0.0, 0.0, 1.0)))


def hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Activation:
    """z clipped to [min_val, max_val]."""
    if not min_val < max_val:
        raise ValueError("min_val must lie below max_val")
    pieces = ((min_val, 0.0, 0.0), _IDENTITY, (max_val, 0.0, 0.0))
    return _activation("hardtanh", (min_val, max_val), pieces, min_val=min_val, max_val=max_val)


def hardsigmoid() -> Activation:
    """z/6 + ½ clipped to [0, 1]."""
    return _activation("hardsigmoid", (-3.0, 3.0), (_ZERO, (0.5, 1 / 6, 0.0), (1.0, 0.0, 0.0)))


def hardswish() -> Activation:
    """z·hardsigmoid(z) (Howard et al. 2019)."""
    return _activation("hardswish", (-3.0, 3.0), (_ZERO, (0.0, 0.5, 1 / 6), _IDENTITY))


def softshrink(lambd: float = 0.5) -> Activation:
    """z moved towards zero by lambd, zero within it."""
    _require_positive(lambd)
    pieces = ((lambd, 1.0, 0.0), _ZERO, (-lambd, 1.0, 0.0))
    return _activation("softshrink", (-lambd, lambd), pieces, lambd=lambd)


def hardshrink(lambd: float = 0.5) -> Activation:
    """z outside [−lambd, lambd], zero within."""
    _require_positive(lambd)
    pieces = (_IDENTITY, _ZERO, _IDENTITY)
    return _activation("hardshrink", (-lambd, lambd), pieces, lambd=lambd)


def _require_positive(lambd: float) -> None:
    if not lambd > 0:
        raise ValueError("lambd must be positive")


def _activation(
    name: str, knots: tuple[float, ...], pieces: tuple[Quadratic, ...], **params: float
) -> Activation:
    curve = PiecewiseQuadratic(knots, pieces)
    bounds = (-math.inf, *knots, math.inf)
    return Activation(
        name,
        curve.function,
        curve.derivative,
        MappingProxyType(params),
        kinks=knots,
        flat=tuple(
            (bounds[i], bounds[i + 1]) for i, (_, c1, c2) in enumerate(pieces) if c1 == c2 == 0
        ),
        homogeneous=knots in ((), (0.0,)) and all(c0 == c2 == 0 for c0, _, c2 in pieces),
        closed=curve,
    )


@dataclass(frozen=True)
class PiecewiseQuadratic:
    """A curve that is ``pieces[i]`` between ``knots[i − 1]`` and ``knots[i]``.

    Its expectations are sums of truncated normal moments: substitute z = m + √v·t into each piece.
    """

    knots: tuple[float, ...]
    pieces: tuple[Quadratic, ...]

    def function(self, z: Array) -> Array:
        """φ(z)."""
        c0, c1, c2 = self._coefficients(z)
        return c0 + z * (c1 + z * c2)

    def derivative(self, z: Array) -> Array:
        """φ′(z)."""
        _, c1, c2 = self._coefficients(z)
        return c1 + 2 * z * c2

    def average(self, mean: Array, variance: float) -> Array:
        """E[φ(z)], z ~ N(mean, variance), for each of the means."""
        scale = math.sqrt(variance)
        return self._average(mean, scale, [_substitute(c, mean, scale) for c in self.pieces])

    def average_slope(self, mean: Array, variance: float) -> Array:
        """E[φ′(z)], z ~ N(mean, variance), for each of the means."""
        scale = math.sqrt(variance)
        slopes = [(c1 + 2 * c2 * mean, 2 * c2 * scale) for _, c1, c2 in self.pieces]
        return self._average(mean, scale, slopes)

    def expectations(self, mean: float, variance: float) -> Expectations:
        """All at once, in terms of the moments of t over each piece."""
        scale = math.sqrt(variance)
        totals, terms = np.zeros(4), np.zeros(4)
        for low, high, piece in self._pieces():
            if piece == _ZERO:
                continue
            a, b, c = _substitute(piece, mean, scale)
            d, e = piece[1] + 2 * piece[2] * mean, 2 * piece[2] * scale
            polynomials = np.array(
                (  # φ, φ², φ′², φφ′t by powers of t
                    (a, b, c, 0.0, 0.0),
                    (a * a, 2 * a * b, b * b + 2 * a * c, 2 * b * c, c * c),
                    (d * d, 2 * d * e, e * e, 0.0, 0.0),
                    (0.0, a * d, a * e + b * d, b * e + c * d, c * e),
                )
            )
            moments, sizes = _moments_and_sizes((low - mean) / scale, (high - mean) / scale)
            totals += polynomials @ moments
            terms += np.abs(polynomials) @ sizes
        totals[1:3] = np.maximum(totals[1:3], 0.0)  # squares, where next to nothing is left
        average, second, backward, cross = totals.tolist()
        scales = error_scales(second, backward, cross, mean, scale)
        with np.errstate(over="ignore"):
            error = 8 * np.finfo(float).eps * float((terms / scales).max())
        return Expectations(average, second, backward, cross / scale, error)

    def _average(
        self, mean: Array, scale: float, polynomials: Iterable[tuple[Array | float, ...]]
    ) -> Array:
        """Σ over pieces of E[polynomial in t; z in the piece]."""
        total = np.zeros_like(mean)
        for (low, high, piece), polynomial in zip(self._pieces(), polynomials, strict=True):
            if piece != _ZERO:
                moments = interval_moments(
                    (low - mean) / scale, (high - mean) / scale, len(polynomial) - 1
                )
                total += sum(c * m for c, m in zip(polynomial, moments, strict=True))
        return total

    def _pieces(self) -> Iterator[tuple[float, float, Quadratic]]:
        return zip((-math.inf, *self.knots), (*self.knots, math.inf), self.pieces, strict=True)

    def _coefficients(self, z: Array) -> tuple[Array, Array, Array]:
        """The coefficients at each z; a knot belongs to the flatter of its two pieces."""
        piece = np.zeros(np.shape(z), dtype=np.intp)
        for i, knot in enumerate(self.knots):
            before, after = (abs(c1 + 2 * c2 * knot) for _, c1, c2 in self.pieces[i : i + 2])
            piece += z > knot if before <= after else z >= knot
        c0, c1, c2 = np.array(self.pieces).T
        return c0[piece], c1[piece], c2[piece]


def _substitute(piece: Quadratic, mean: Any, scale: float) -> tuple[Any, Any, float]:
    """Coefficients by powers of t of the piece at z = mean + scale·t."""
    c0, c1, c2 = piece
    return c0 + mean * (c1 + mean * c2), (c1 + 2 * c2 * mean) * scale, c2 * scale * scale


def _moments_and_sizes(low: float, high: float) -> tuple[Array, Array]:
    """Moments of t over an interval for powers 0 to 4, and the size of the terms they add up.

    A relative rounding error ε of a bound b changes P(t ≤ b) by εb·density(b), and the density
    itself by εb².
    """
    moments = interval_moments(low, high, 4)
    bounds = np.abs(np.maximum(np.minimum((low, high), 40.0), -40.0))
    ends = density(bounds) * (1 + bounds**2)
    sizes = [abs(moments[0]) + float(ends @ bounds), float(ends.sum())]
    for k in range(2, 5):
        sizes.append(float(ends @ bounds ** (k - 1)) + (k - 1) * sizes[k - 2])
    return np.array(moments), np.array(sizes)
