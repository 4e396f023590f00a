"""Lean: how a gradient depends on the very value that it is the gradient of.

A gradient that comes down through weights knows nothing of the value that it arrives at. One that
has passed an activation does: behind a rectifier it is there where the value is positive, and
nowhere else. What the value went into before that activation then counts twice: the stream of a
residual network of rectifiers is relu(x + n), and where x was open x + n is likelier to be; batch
norm takes off the gradient's part along its own values.

For a value x = m + s·h(t) (``laws.law``) a lean says, at the nodes t, how large E[δ²] is there, of
mean 1, and by what factor E[δ·δ′] of two elements goes at either, of mean square 1. An activation
multiplies these by φ′² and φ′; a sum's term sees their mean over the other term; where a value is
read several times the leans are mixed by the size of the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from evenflow.graph.laws.law import CELLS, Array, binned, hermite, span

_LEAST = 1e-300
Profile = tuple[Array, Array]
"""Of E[δ²] and of E[δ·δ′], at the nodes."""


class Lean:
    """How a gradient depends on its value, worked out when it is first asked for."""

    def __init__(self, make: Callable[[], Profile]) -> None:
        self._make = make

    @cached_property
    def profile(self) -> Profile:
        """E[δ²] at the nodes, of mean 1; the factor of E[δ·δ′], of mean square 1."""
        weights = hermite()[1][:, 0]
        second, factor = self._make()
        second = second / max(float(weights @ second), _LEAST)
        return second, factor / math.sqrt(max(float(weights @ factor**2), _LEAST))

    def times(self, slope: Callable[[], Array]) -> Lean:
        """Of the gradient times ``slope``, given at the nodes."""

        def make() -> Profile:
            (second, factor), by = self.profile, slope()
            return second * by**2, factor * by

        return Lean(make)


def of_slope(slope: Callable[[], Array]) -> Lean:
    """Of a gradient that knew nothing of the value, times ``slope``, given at the nodes."""
    return Lean(lambda: (slope() ** 2, slope()))


def mixed(parts: Sequence[tuple[float, Lean | None]]) -> Lean | None:
    """Of a sum of gradients of these second moments."""
    if all(lean is None for _, lean in parts):
        return None
    flat = np.ones_like(hermite()[0])

    def make() -> Profile:
        each = [(share, (flat, flat) if x is None else x.profile) for share, x in parts]
        second, factor = (sum((s * p[i] for s, p in each), 0 * flat) for i in (0, 1))
        return second, factor

    return Lean(make)


def turned(lean: Lean | None, factor: float) -> Lean | None:
    """By x rather than ``factor`` · x."""
    if lean is None or factor >= 0:
        return lean
    return Lean(lambda: (lean.profile[0][::-1], lean.profile[1][::-1]))


def of_term(lean: Lean, total: Array, term: Array, rest: Array) -> Lean:
    """Of the gradient of a sum as its ``term`` sees it, independent of the ``rest``; all three are
    given by their values at the nodes."""

    def make() -> Profile:
        (low, high), (least, most) = span(term), span(rest)
        width = (high - low + most - least) / CELLS
        mass = np.conj(np.fft.rfft(binned(rest, least, width), 2 * CELLS))
        places = low + width * np.arange(CELLS)
        order = np.argsort(total, kind="stable")

        def mean(profile: Array) -> Array:
            """Over the rest, at each value of the term."""
            values = np.interp(places + least, total[order], profile[order])
            met = np.fft.irfft(np.fft.rfft(values, 2 * CELLS) * mass)[:CELLS]
            return np.asarray(np.interp(term, places, met))

        second, factor = lean.profile
        return np.maximum(mean(second), 0.0), mean(factor)

    return Lean(make)
