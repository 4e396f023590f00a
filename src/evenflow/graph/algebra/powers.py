"""Powers and logarithms of positive tensors, such as a mean of squares before its square root.

What is positive and spreads little around its mean is told as lognormal, of which every power has
closed moments: with μ and σ² of log y and κ = log(1 + Cov(y, y′)/m²) the covariance of log y,

    E[y^a] = exp(aμ + a²σ²/2),   E[y^a y′^a] = exp(2aμ + a²σ² + a²κ).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments

_WIDEST = 1.0
"""Var y / E[y]² above which nothing says that y stays away from zero."""


def power(y: Moments, exponent: float) -> Moments:
    """Moments of y^exponent; ``NoRuleError`` where y need not be positive."""
    mu, covariance = _logarithm(y)
    variance = float(covariance.flat[0])
    mean = np.exp(exponent * mu + exponent**2 * variance / 2)
    pairs = np.exp(2 * exponent * mu + exponent**2 * (variance + covariance))
    return replace(y, mean=float(mean), pairs=pairs, spread=0.0, hidden=None)


def logarithm(y: Moments) -> Moments:
    """Moments of log y; ``NoRuleError`` where y need not be positive."""
    mu, covariance = _logarithm(y)
    return replace(y, mean=mu, pairs=mu**2 + covariance, spread=0.0, hidden=None)


def _logarithm(y: Moments) -> tuple[float, np.ndarray]:
    """Mean of log y, and its covariances."""
    if y.mean <= 0 or y.variance > _WIDEST * y.mean**2:
        raise NoRuleError("a power or logarithm of what may be zero or negative")
    covariance = np.log(np.maximum(y.pairs / y.mean**2, 1e-300))
    return float(np.log(y.mean) - covariance.flat[0] / 2), covariance
