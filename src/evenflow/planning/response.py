"""Response: an activation's gains and fluctuations, tabulated over its operating point.

Searching and simulating need these numbers millions of times at a precision of 1e-3; what a plan
prints of gains comes from ``theory.gain``, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermevander
from scipy.special import factorial

from evenflow.theory.activations import Activation

Array = npt.NDArray[np.float64]

_DEGREES = 8
"""Hermite degrees that are kept; what is left over is counted as one degree more."""


@dataclass(frozen=True)
class Response:
    """Tables over log q, q the second moment of zero-mean Gaussian pre-activations.

    For two inputs whose pre-activations correlate by ρ, E[f(z)f(z′)] = Σ c_k ρ^k with c_k the
    squared Hermite coefficients of f: the rows of the ``…_degrees`` tables, as shares of their sum.
    """

    log_q: Array
    log_second: Array
    """log E[φ²]."""
    log_backward: Array
    """log E[φ′²]."""
    degrees: Array
    """Of φ: how alike the outputs of two inputs are."""
    spread_forward: Array
    """κ = E[φ⁴]/E[φ²]² − 1: one layer of n units moves Σφ²/n by a relative variance κ/n."""
    common_forward: Array
    """Of φ² less its mean: how much of that two inputs have in common."""
    spread_slope: Array
    """E[φ′⁴]/E[φ′²]² − 1."""
    common_slope: Array
    """Of φ′² less its mean."""
    radial: Array
    """log E[φ′² z²]/(q E[φ′²]): how much more of a gradient lies along z than elsewhere."""
    tie: Array
    """Regression of φ′²'s relative deviation on φ²'s: units that are far out often do both."""

    def second(self, log_q: Array) -> Array:
        """Log of E[φ²]."""
        return np.interp(log_q, self.log_q, self.log_second)

    def backward(self, log_q: Array) -> Array:
        """Log of E[φ′²]."""
        return np.interp(log_q, self.log_q, self.log_backward)

    def slope(self, log_q: Array) -> Array:
        """The q-slope d log E[φ²] / d log q."""
        step = 0.1
        return (self.second(log_q + step) - self.second(log_q - step)) / (2 * step)

    def at(self, table: Array, log_q: Array) -> Array:
        """Rows of one of the ``…_degrees`` tables, one for each ``log_q``."""
        place = np.interp(log_q, self.log_q, np.arange(len(self.log_q)))
        low = np.minimum(place.astype(int), len(self.log_q) - 2)
        share = (place - low)[:, None]
        return np.asarray((1 - share) * table[low] + share * table[low + 1])


def mixed(degrees: Array, correlation: Array, width: float = np.inf) -> Array:
    """Σ c_k ρ^k for shares c_k of Hermite degrees, a row of them for each ρ.

    In ``width`` dimensions two unlike examples still correlate by chance, E[ρ²] = 1/width: little
    for a pair, but many pairs share it, and a mean over a large batch consists of little else.
    """
    rho = np.clip(correlation, 0.0, 1.0)
    square = rho**2 + (1 - rho**2) / width
    powers = np.sqrt(square)[:, None] ** np.arange(degrees.shape[1])
    powers[:, 1] = rho
    return np.asarray((degrees * powers).sum(axis=1))


@lru_cache(maxsize=128)
def response(activation: Activation) -> Response:
    """The tables of ``activation`` for q between 1e-8 and 1e6."""
    log_q = np.linspace(np.log(1e-8), np.log(1e6), 257)
    t = np.linspace(-8.0, 8.0, 1602)  # an even count, so that a kink at 0 lies between two nodes
    weights = np.exp(-0.5 * t * t)
    weights /= weights.sum()
    hermite = hermevander(t, _DEGREES) / np.sqrt(factorial(np.arange(_DEGREES + 1)))
    projector = weights[:, None] * hermite
    z = np.exp(0.5 * log_q)[:, None] * t
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value, slope = activation.function(z), activation.derivative(z)
        second, backward = value**2 @ weights, slope**2 @ weights
        forward_spread, forward_common = _spread(value**2, second, weights, projector)
        slope_spread, slope_common = _spread(slope**2, backward, weights, projector)
        return Response(
            log_q,
            np.log(second),
            np.log(backward),
            _shares((value @ projector) ** 2, second),
            forward_spread,
            forward_common,
            slope_spread,
            slope_common,
            np.log(slope**2 * z**2 @ weights) - np.log(backward) - log_q,
            _tie(value**2, second, slope**2, backward, weights),
        )


def _spread(square: Array, mean: Array, weights: Array, projector: Array) -> tuple[Array, Array]:
    """Relative variance of a squared function, and what two inputs share of it by degree."""
    variance = square**2 @ weights - mean**2
    coefficients = (square @ projector) ** 2
    coefficients[:, 0] = 0.0
    spread = np.nan_to_num(variance / mean**2, posinf=1e6)
    return np.maximum(spread, 0.0), _shares(coefficients, variance)


def _tie(value: Array, second: Array, slope: Array, backward: Array, weights: Array) -> Array:
    covariance = (value * slope) @ weights / (second * backward) - 1
    variance = value**2 @ weights / second**2 - 1
    return np.nan_to_num(covariance / np.where(variance > 1e-12, variance, np.inf))


def _shares(coefficients: Array, total: Array) -> Array:
    """Coefficients over their total, the rest as one more degree; all in degree 1 if it is 0."""
    safe = np.where(total > 1e-12, total, 1.0)
    shares = np.clip(coefficients / safe[:, None], 0.0, 1.0)
    rest = np.maximum(1.0 - shares.sum(axis=1), 0.0)
    return np.concatenate([shares, rest[:, None]], axis=1)
