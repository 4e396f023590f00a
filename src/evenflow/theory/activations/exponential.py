"""Linear above zero, exponential below: ELU, SELU, CELU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from evenflow.theory.activations.activation import NOTHING, Activation, Expectations
from evenflow.theory.normal import Array, density, distribution, interval_moments

_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


def elu(alpha: float = 1.0) -> Activation:
    """z above zero, alpha·(eᶻ − 1) below (Clevert et al. 2016)."""
    return _activation("elu", LinearExponential(1.0, alpha, 1.0), alpha=alpha)


def selu() -> Activation:
    """ELU scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al. 2017)."""
    height = _SELU_SCALE * _SELU_ALPHA
    return _activation("selu", LinearExponential(_SELU_SCALE, height, 1.0))


def celu(alpha: float = 1.0) -> Activation:
    """z above zero, alpha·(exp(z/alpha) − 1) below: smooth for every alpha (Barron 2017)."""
    if not alpha > 0:
        raise ValueError("alpha must be positive")
    return _activation("celu", LinearExponential(1.0, alpha, 1 / alpha), alpha=alpha)


def _activation(name: str, curve: LinearExponential, **params: float) -> Activation:
    return Activation(
        name,
        curve.function,
        curve.derivative,
        MappingProxyType(params),
        kinks=(0.0,),
        closed=curve,
    )


@dataclass(frozen=True)
class LinearExponential:
    """slope·z for z > 0, height·(exp(rate·z) − 1) for z ≤ 0."""

    slope: float
    height: float
    rate: float

    def function(self, z: Array) -> Array:
        """φ(z)."""
        return np.where(z > 0, self.slope * z, self.height * np.expm1(self.rate * np.minimum(z, 0)))

    def derivative(self, z: Array) -> Array:
        """φ′(z)."""
        below = self.height * self.rate * np.exp(self.rate * np.minimum(z, 0))
        return np.where(z > 0, self.slope, below)

    def average(self, mean: Array, variance: float) -> Array:
        """E[φ(z)], z ~ N(mean, variance), for each of the means."""
        scale = math.sqrt(variance)
        above = interval_moments(-mean / scale, np.inf, 1)
        below = self._tilted(1, mean, scale) - self._tilted(0, mean, scale)
        average: Array = self.slope * (mean * above[0] + scale * above[1]) + self.height * below
        return average

    def average_slope(self, mean: Array, variance: float) -> Array:
        """E[φ′(z)], z ~ N(mean, variance), for each of the means."""
        scale = math.sqrt(variance)
        below: Array = self.height * self.rate * self._tilted(1, mean, scale)
        return self.slope * distribution(mean / scale) + below

    def expectations(self, mean: float, variance: float) -> Expectations:
        """All at once; growth is E[φ′² + φφ″], because φ(0) = 0 takes the bend out of φ²."""
        scale = math.sqrt(variance)
        m0, m1, m2 = interval_moments(-mean / scale, np.inf, 2)
        e0, e1, e2 = (self._tilted(k, mean, scale) for k in range(3))
        above, height, curl = self.slope**2, self.height**2, (self.height * self.rate) ** 2
        average = self.slope * (mean * m0 + scale * m1) + self.height * (e1 - e0)
        second = above * (mean**2 * m0 + 2 * mean * scale * m1 + variance * m2)
        second += height * (e2 - 2 * e1 + e0)
        backward = above * m0 + curl * e2
        growth = backward + curl * (e2 - e1)
        # What cancels: the powers of a negative mean above zero, the exponentials below it.
        powers = mean**2 * m0 + 2 * abs(mean) * scale * m1 + variance * m2
        terms = above * powers * (1 + min(mean, 0.0) ** 2 / variance) + height * 4 * e0
        error = 16 * np.finfo(float).eps * float(terms) / max(float(second), NOTHING)
        return Expectations(float(average), float(second), float(backward), float(growth), error)

    def _tilted(self, k: int, mean: Any, scale: float) -> Any:
        """E[exp(k·rate·z); z < 0] = exp(km + k²v/2)·P(x < −(m + kv)/√v), without overflow."""
        from scipy.special import erfcx  # slow to import

        a = k * self.rate
        t = (mean + a * scale * scale) / scale
        near = erfcx(np.maximum(t, 0.0) / math.sqrt(2)) * density(mean / scale) * _HALF_ROOT_2PI
        exponent = np.minimum(a * mean + 0.5 * (a * scale) ** 2, 0.0)
        return np.where(t > 0, near, np.exp(exponent) * distribution(-np.minimum(t, 0.0)))


_HALF_ROOT_2PI = 0.5 * math.sqrt(2 * math.pi)
