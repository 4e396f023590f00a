"""Activations that are not monotonous: the sine and the Gaussian bell."""

from __future__ import annotations

import math

import numpy as np

from evenflow.theory.activations.activation import Activation, Expectations
from evenflow.theory.normal import Array

_ROUNDING = 1e-14


def sin() -> Activation:
    """sin z (Sitzmann et al. 2020)."""
    return Activation("sin", np.sin, np.cos, closed=_Sine())


def gaussian() -> Activation:
    """exp(−z²)."""
    return Activation(
        "gaussian",
        lambda z: np.exp(-z * z),
        lambda z: -2 * z * np.exp(-z * z),
        closed=_Bell(),
    )


class _Sine:
    """Expectations of sin: the characteristic function of the normal distribution."""

    def average(self, mean: Array, variance: float) -> Array:
        return np.sin(mean) * math.exp(-variance / 2)

    def average_slope(self, mean: Array, variance: float) -> Array:
        return np.cos(mean) * math.exp(-variance / 2)

    def expectations(self, mean: float, variance: float) -> Expectations:
        """sin² = ½(1 − cos 2z), written so that nothing cancels at small variance."""
        lost = -math.expm1(-2 * variance) / 2
        sine, cosine, double = math.sin(mean), math.cos(mean), math.cos(2 * mean)
        return Expectations(
            mean=sine * math.exp(-variance / 2),
            second=sine**2 + lost * double,
            backward=cosine**2 - lost * double,
            growth=math.exp(-2 * variance) * double,
            error=_ROUNDING,
        )


class _Bell:
    """Expectations of exp(−z²): products of Gaussians are Gaussians."""

    def average(self, mean: Array, variance: float) -> Array:
        wide = 1 + 2 * variance
        return np.exp(-mean * mean / wide) / math.sqrt(wide)

    def average_slope(self, mean: Array, variance: float) -> Array:
        return -2 * mean / (1 + 2 * variance) * self.average(mean, variance)

    def expectations(self, mean: float, variance: float) -> Expectations:
        """φ² is a bell of half the width; φ′² = 4z²φ² asks for its second moment."""
        wide, wider = 1 + 2 * variance, 1 + 4 * variance
        second = math.exp(-2 * mean**2 / wider) / math.sqrt(wider)
        return Expectations(
            mean=math.exp(-(mean**2) / wide) / math.sqrt(wide),
            second=second,
            backward=4 * second * ((mean / wider) ** 2 + variance / wider),
            growth=second * (8 * (mean / wider) ** 2 - 2 / wider),
            error=_ROUNDING,
        )
