"""Trend: how much of the signal, or of its gradient, is left from end to end, and where it went.

Thresholds are ratios of variances between the first and the last hidden layer. Those of shrinking
were read off ``benchmarks/rule_thresholds.py``, which trains perceptrons of 3 to 30 layers: with
1e-5 of the signal left SGD and Adam both learn, with 1e-7 Adam alone, with 1e-13 neither. Those of
growing were set by hand: networks in their common initialisations stay below 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from evenflow.diagnose.finding import Level
from evenflow.diagnose.words import figure, times

NOTE, WARNING, ERROR = 30.0, 2e5, 1e12
"""By which factor a signal may shrink …"""
NOTE_GROWTH, WARNING_GROWTH, ERROR_GROWTH = 30.0, 1e4, 1e8
"""… and grow: growth ends in a loss far from chance well before shrinking stops the learning."""


@dataclass(frozen=True)
class Trend:
    """The way of one quantity through consecutive layers."""

    names: tuple[str, ...]
    """Layers, in the order in which the signal passes them."""
    values: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Last over first; 1 where there are fewer than three layers, which make no trend."""
        if len(self.values) < 3 or self.values[0] == 0:
            return 1.0
        ratio = self.values[-1] / self.values[0]
        return ratio if math.isfinite(ratio) else 1.0

    @property
    def rate(self) -> float:
        """Factor for each layer, in the geometric mean."""
        return float(self.ratio ** (1 / max(len(self.values) - 1, 1)))

    @property
    def start(self) -> str:
        """Where it goes wrong: the layer that does more than half of it, or the first to do any."""
        steps = [abs(math.log(b / a)) if a > 0 and b > 0 else 0.0 for a, b in pairwise(self.values)]
        steepest = max(range(len(steps)), key=steps.__getitem__)
        sudden = len(steps) > 2 and steps[steepest] > 0.5 * abs(math.log(self.ratio or 1.0))
        return self.names[steepest + 1 if sudden else 1]

    def describe(self, what: str) -> str:
        """The numbers in a sentence."""
        first, last = figure(self.values[0]), figure(self.values[-1])
        return (
            f"{what} goes from {first} at {self.names[0]} to {last} at {self.names[-1]}: "
            f"{times(self.ratio)} what it was, over {len(self.values)} layers, "
            f"×{figure(self.rate)} each"
        )


def trend(names: Sequence[str], values: Sequence[float]) -> Trend:
    """A trend over the layers whose value is known."""
    known = [(n, v) for n, v in zip(names, values, strict=True) if math.isfinite(v)]
    return Trend(tuple(n for n, _ in known), tuple(v for _, v in known))


def shrinking(ratio: float, warning: float = WARNING) -> Level | None:
    """How grave it is that so much is left."""
    return _level(1 / ratio if ratio > 0 else math.inf, NOTE, warning, ERROR)


def growing(ratio: float) -> Level | None:
    """How grave it is that it grew so much."""
    return _level(ratio, NOTE_GROWTH, WARNING_GROWTH, ERROR_GROWTH)


def _level(factor: float, note: float, warning: float, error: float) -> Level | None:
    if factor >= error:
        return "error"
    if factor >= warning:
        return "warning"
    return "note" if factor >= note else None
