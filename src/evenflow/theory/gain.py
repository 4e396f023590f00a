"""Gains: what an activation does to second moments at its operating point."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from evenflow.errors import ActivationError, InputError
from evenflow.theory.activations import Activation, find, from_callable
from evenflow.theory.expectations import expectations
from evenflow.theory.shared import shared_second, shared_slope

_LARGEST = 1e76
_SLACK = 1e-9
"""Relative excess of m² or s over what bounds it that counts as rounding of the caller's."""


def gain(
    activation: Activation | str | Callable[[Any], Any], q: float = 1.0, mean: float = 0.0
) -> Gain:
    """The gains of an activation whose input is z ~ N(mean, q − mean²).

    ``activation`` is an Activation, a name of the catalogue, or a NumPy callable (see
    ``from_callable``). ``q`` = E[z²], mean² ≤ q ≤ 1e76, is the second moment of the input. With
    q = mean² z is the constant ``mean``; with q = 0 the result is the limit q → 0: Glorot's
    linearisation. Raises InputError for an impossible operating point or an unknown name,
    ActivationError for a callable that is no activation, or whose expectations do not exist or
    are out of range.
    """
    return _gain(as_activation(activation), float(q), float(mean))


def as_activation(activation: Activation | str | Callable[[Any], Any]) -> Activation:
    """The activation itself, that of a catalogue name, or that which a NumPy callable computes."""
    if isinstance(activation, Activation):
        return activation
    return find(activation) if isinstance(activation, str) else from_callable(activation)


@dataclass(frozen=True)
class Gain:
    """Expectations of φ and φ′ at one operating point, and the ratios that initialisation needs."""

    activation: str
    q: float
    """E[z²] of the input."""
    mean_in: float
    """E[z] of the input."""
    mean: float
    """E[φ]"""
    second: float
    """E[φ²]"""
    forward: float
    """E[φ²]/q: what the second moment of activations is multiplied by."""
    backward: float
    """E[φ′²]: what the second moment of gradients is multiplied by."""
    chi: float
    """χ₁ = q·E[φ′²]/E[φ²]: the growth of gradients a layer where weights keep the activations
    level without biases. NaN where E[φ²] is zero."""
    q_slope: float
    """d log E[φ²]/d log q at fixed mean: above 1 the forward fixed point is unstable. NaN where
    E[φ²] is zero."""
    error: float
    """Bound on the relative error of all of these; the mean's is relative to √E[φ²], that of the
    q-slope absolute where the q-slope is below 1. Infinite for a callable that is too rough for
    its numerical derivative to be trusted."""
    _curve: Activation = field(repr=False, compare=False)

    @property
    def forward_gain(self) -> float:
        """1/√(E[φ²]/q), as classic tables print it: the factor on weights that holds q level."""
        return _classic(self.forward)

    @property
    def backward_gain(self) -> float:
        """1/√E[φ′²]: the factor on weights that holds gradients level."""
        return _classic(self.backward)

    def shared(self, s: float) -> float:
        """E_shared[(E_private φ)²] for an input of shared part ``s``, mean_in² ≤ s ≤ q.

        s/q is the correlation of two inputs; the result over ``second`` that of their images. It
        lies between mean² and second. Raises InputError for s out of range.
        """
        shared, private = self._split(s)
        if private == 0:
            return self.second
        if shared == 0:
            return self.mean**2
        value = shared_second(self._curve, self.mean_in, shared, private)
        return min(max(value, self.mean**2), self.second)

    def shared_backward(self, s: float) -> float:
        """E_shared[(E_private φ′)²]: the part of E[φ′²] that is common to two inputs of shared
        part ``s``. Raises InputError for s out of range."""
        shared, private = self._split(s)
        if private == 0:
            return self.backward
        return min(shared_slope(self._curve, self.mean_in, shared, private), self.backward)

    def _split(self, s: float) -> tuple[float, float]:
        """Variances of the shared and of the private part."""
        least = self.mean_in**2
        if not least - _SLACK * self.q <= s <= self.q * (1 + _SLACK):
            raise InputError(
                f"a shared part of {s!r} is not between mean² = {least:.6g} and q = {self.q:.6g}",
                where=f"gain of {self.activation}",
                remedy="Give s = correlation · q, with a correlation between mean²/q and 1",
            )
        return max(s - least, 0.0), max(self.q - s, 0.0)


def _classic(factor: float) -> float:
    return 1 / math.sqrt(factor) if factor > 0 else math.inf


@lru_cache(maxsize=4096)
def _gain(activation: Activation, q: float, mean: float) -> Gain:
    if _LARGEST < q < math.inf:
        raise ActivationError(
            f"its input's second moment q = {q:.3g} is beyond {_LARGEST:g}, where single precision "
            "ends",
            where=activation.name,
            remedy="The signal has exploded before it: scale the weights down",
        )
    found = expectations(activation, mean, _variance(q, mean))
    second = max(found.second, found.mean**2)  # equal for a constant, but for rounding
    backward = found.backward
    if q > 0:
        forward = second / q
        chi = backward / forward if forward > 0 else math.nan
        q_slope = q * found.growth / second if second > 0 else math.nan
    elif second > 0:
        forward, chi, q_slope = math.inf, 0.0, 0.0
    else:  # φ(z) → φ′(0±)·z
        forward = backward
        chi = q_slope = 1.0 if backward > 0 else math.nan
    return Gain(
        activation=activation.name,
        q=q,
        mean_in=mean,
        mean=found.mean,
        second=second,
        forward=forward,
        backward=backward,
        chi=chi,
        q_slope=q_slope,
        error=float(2 * found.error),  # χ₁ is a quotient of two of them
        _curve=activation,
    )


def _variance(q: float, mean: float) -> float:
    """q − mean², rounded once: the two may nearly cancel. Zero where it is but q's own rounding."""
    if not (0 <= q < math.inf and math.isfinite(mean)):
        raise InputError(
            f"q = {q!r} and mean = {mean!r} are no second moment and mean",
            remedy="Give a finite q ≥ 0 and a finite mean",
        )
    variance = float(Fraction(q) - Fraction(mean) ** 2)
    if variance < -_SLACK * q:
        raise InputError(
            f"q = {q:.6g} is below mean² = {mean**2:.6g}, which no distribution has",
            remedy="q is the second moment E[z²] of the input, not its variance",
        )
    return variance if variance > 4 * sys.float_info.epsilon * q else 0.0
