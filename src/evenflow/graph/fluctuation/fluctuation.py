"""Fluctuation: how a second moment varies from one draw of the weights to the next.

The measured second moment of a tensor is a mean over its units of squares that the weights just
before it have drawn (``own``), around what is expected for the values that came in. Those came
out of earlier draws; their deviations pass every operation by its slope d log q′ / d log q
(``kernel``), and may be large, so that they are followed as logarithms. Behind a layer the own part
of its input is a deviation like any other.

A mean of n squares of normals is a gamma law of variance 2/n: ``own`` is counted as one, of its
variance. Its logarithm leans to the left where few squares are all there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from evenflow.graph.moments import Moments

Interval = tuple[float, float]

_QUANTILE = 1.6448536269514722
"""Of the standard normal: 5 % lie above."""
ERROR, ERROR_BACK = 0.005, 0.01
"""Relative error of derived second moments themselves, forwards and backwards, where networks are
simple (``make bench-derive``). It counts where little scatters, behind a norm say."""
_FARTHEST = 300.0
"""Of the logarithm of a second moment: what is further away has no end."""
_SHARP = 1e-6
"""An own variance below this has no third cumulant to speak of."""


@dataclass(frozen=True)
class Fluctuation:
    """Of the logarithm of one second moment, over draws of the weights."""

    shift: float = 0.0
    """Mean, but for the own part."""
    kernel: float = 0.0
    """Variance of what the values that came in bring along."""
    own: float = 0.0
    """Relative variance of the mean of squares of the tensor's own units."""
    chance: float = 0.0
    """Mean square correlation that two examples or positions have in one draw, beyond what they
    have on average."""
    lasting: float = 0.0
    """Of it, what they have as inputs, which no draw changes."""
    fixed: bool = False
    """Whether the tensor is the same in all draws."""

    def interval(self, moments: Moments, error: float = ERROR) -> Interval:
        """5th and 95th percentile of the measured second moment, derived with a relative ``error``.

        By the first three cumulants of its logarithm (Cornish and Fisher 1938).
        """
        mean, variance, third = _logarithm_of_gamma(max(self.own, 0.0))
        width = math.sqrt(max(self.kernel, 0.0) + variance + error**2)
        lean = third / width / width**2 * (_QUANTILE**2 - 1) / 6 if width < _FARTHEST else 0.0
        middle = self.shift + mean
        low, high = (
            math.exp(min(middle + width * (end + lean), _FARTHEST))
            for end in (-_QUANTILE, _QUANTILE)
        )
        return moments.second * low, moments.second * high

    def given(self) -> Fluctuation:
        """What is random for all that comes later: the units as they were drawn."""
        mean, variance, _ = _logarithm_of_gamma(self.own)
        return replace(self, shift=self.shift + mean, kernel=self.kernel + variance, own=0.0)


@lru_cache(maxsize=4096)
def _logarithm_of_gamma(variance: float) -> tuple[float, float, float]:
    """Mean, variance and third cumulant of the logarithm of a gamma law of mean 1."""
    if variance < _SHARP:
        return -variance / 2, variance, 0.0
    from scipy.special import polygamma, psi  # slow to import

    shape = 1 / variance
    second, third = (float(polygamma(order, shape)) for order in (1, 2))
    return float(psi(shape)) - math.log(shape), second, third
