"""The laws that parameters are drawn from, and that of values as they are.

Biases and scales are what a law of a parameter matters of: matrices are summed over, and sums are
normal. A uniform bias shows wherever a signal has died down to it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from evenflow.graph.laws.law import Array, Law, hermite, sampled, summed_law

_SMALL = 0.01
"""Share of a sum's variance below which the law of a term shows no more: excess kurtosis goes with
its square."""


@lru_cache(maxsize=1)
def uniform() -> Law:
    """Of a uniform distribution."""

    def make() -> Array:
        from scipy.special import ndtr  # slow to import, and few networks need it

        return np.asarray(ndtr(hermite()[0]))

    return Law(make)


@lru_cache(maxsize=64)
def truncated(low: float, high: float) -> Law:
    """Of a standard normal distribution cut at ``low`` and ``high``."""

    def make() -> Array:
        from scipy.special import ndtr, ndtri

        below, above = ndtr(low), ndtr(high)
        return np.asarray(ndtri(below + (above - below) * ndtr(hermite()[0])).clip(low, high))

    return Law(make)


def of_values(values: Array) -> Law:
    """Of these values, by their quantiles."""
    return Law(lambda: sampled(values, np.ones_like(values)))


def differs_from_normal(kurtosis: float, count: int) -> bool:
    """Whether so many values of this kurtosis are not normal, by two standard errors of its
    logarithm, each √(24/n)/3."""
    return kurtosis > 0 and abs(math.log(kurtosis / 3)) > 2 * math.sqrt(24 / count) / 3


def with_term(variance: float, law: Law | None, term: float) -> Law | None:
    """Of a sum of this variance, normal but for one independent term: its law, and its share of
    the variance as ``term``."""
    if law is None or term < _SMALL * variance:
        return None
    return summed_law((math.sqrt(max(variance - term, 0.0)), None), (math.sqrt(term), law))
