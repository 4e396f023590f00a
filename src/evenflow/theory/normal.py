"""The standard normal density and distribution function, and moments over an interval."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROOT_2PI = float(np.sqrt(2 * np.pi))
_FAR = 40.0
"""Beyond this the density is zero in double precision, so an infinite bound may be put here."""


@overload
def density(t: float) -> float: ...
@overload
def density(t: Array) -> Array: ...
def density(t: float | Array) -> float | Array:
    """exp(−t²/2)/√(2π) of a number or an array."""
    return np.exp(-0.5 * t * t) / _ROOT_2PI


@overload
def distribution(t: float) -> float: ...
@overload
def distribution(t: Array) -> Array: ...
def distribution(t: float | Array) -> float | Array:
    """P(x ≤ t) of a number or an array, accurate in relative terms far into the lower tail."""
    from scipy.special import ndtr  # scipy.special takes longer to import than all of this package

    return ndtr(t)  # type: ignore[no-any-return]


def interval_moments(low: Any, high: Any, order: int) -> list[Any]:
    """M_k = ∫ tᵏ·density over [low, high] for k = 0 … order; bounds are numbers or arrays alike.

    M_k = lowᵏ⁻¹·density(low) − highᵏ⁻¹·density(high) + (k − 1)·M_{k−2}, by parts.
    """
    low, high = (np.minimum(np.maximum(bound, -_FAR), _FAR) for bound in (low, high))
    at_low, at_high = density(low), density(high)
    # Two numbers near 1 would cancel: above zero take the difference of the upper tails instead.
    flip = np.where(low > 0, -1.0, 1.0)
    moments = [flip * (distribution(flip * high) - distribution(flip * low)), at_low - at_high]
    for k in range(2, order + 1):
        at_low, at_high = at_low * low, at_high * high
        moments.append(at_low - at_high + (k - 1) * moments[k - 2])
    return moments[: order + 1]
