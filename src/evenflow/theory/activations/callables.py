"""Any NumPy callable as an activation: checked, differentiated, and searched for kinks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenflow.errors import ActivationError
from evenflow.theory.activations.activation import Activation, Curve
from evenflow.theory.activations.kinks import flat_pieces, singular_points, union
from evenflow.theory.activations.slope import NumericalSlope
from evenflow.theory.normal import Array

_SAMPLE: Array = np.linspace(-10.0, 10.0, 201)


def from_callable(
    function: Callable[[Any], Any],
    derivative: Callable[[Any], Any] | None = None,
    name: str | None = None,
) -> Activation:
    """The activation that a NumPy callable computes, element by element.

    ``function`` maps a float64 array to a real array of the same shape, the same each time; so
    does ``derivative``, which is taken numerically if not given (to about ten digits). Kinks,
    steps and flat pieces are searched for in |z| ≤ 64. Raises ActivationError for a callable that
    raises, returns NaN, infinity, complex numbers or another shape, mixes its elements, or is
    random; the same is checked again wherever it is evaluated later.
    """
    name = name or str(getattr(function, "__name__", type(function).__name__))
    curve = _Checked(function, name)
    _require_elementwise(curve)
    kinks = singular_points(curve)
    slope: Curve
    if derivative is None:
        slope = numerical = NumericalSlope(curve, kinks or [])
        slope_error = math.inf if kinks is None else numerical.relative_error()
    else:
        slope = given = _Checked(derivative, f"derivative of {name}")
        slope_error = 0.0
        _require_elementwise(given)
        bends = singular_points(slope)
        kinks = None if kinks is None or bends is None else union(bends, kinks)
    return Activation(
        name,
        curve,
        slope,
        kinks=tuple(kinks or ()),
        flat=() if kinks is None else flat_pieces(slope, kinks),
        homogeneous=kinks in ([], [0.0])
        and np.allclose(_SAMPLE * slope(_SAMPLE), curve(_SAMPLE), rtol=1e-8, atol=1e-9),
        slope_error=slope_error,
    )


@dataclass(frozen=True)
class _Checked:
    """The callable, with a clear error in place of every value that is no activation's."""

    call: Callable[[Any], Any]
    name: str

    def __call__(self, z: Array) -> Array:
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(self.call(z.copy()))
        except Exception as fault:
            raise ActivationError(
                f"it raises {type(fault).__name__} on a float64 array: {fault}",
                where=self.name,
                remedy="Give a function of one NumPy array, applied element by element",
            ) from fault
        if result.shape != z.shape:
            raise ActivationError(
                f"it turns shape {z.shape} into {result.shape}",
                where=self.name,
                remedy="An activation keeps the shape; softmax and its kin are no activations here",
            )
        if result.dtype.kind not in "fiub":
            raise ActivationError(
                f"it returns {result.dtype} values",
                where=self.name,
                remedy="An activation returns real numbers",
            )
        values: Array = result.astype(np.float64)
        if not np.isfinite(values).all():
            raise _not_finite(self.name, z, values)
        return values


def _not_finite(name: str, z: Array, values: Array) -> ActivationError:
    at = np.abs(np.where(np.isfinite(values), np.inf, z)).argmin()
    if np.isnan(values).any():
        return ActivationError(
            f"it returns NaN, at z = {z.flat[at]:.6g} for one",
            where=name,
            remedy="Make it defined, and free of inf − inf and 0·inf, on the whole real line",
        )
    return ActivationError(
        f"it is infinite at z = {z.flat[at]:.6g}, so its Gaussian moments do not exist or "
        "are out of range",
        where=name,
        remedy="Bound it, or choose a smaller operating point q",
    )


def _require_elementwise(curve: _Checked) -> None:
    once = curve(_SAMPLE)
    if not np.array_equal(once, curve(_SAMPLE)):
        raise ActivationError(
            "it returns other values for the same input each time",
            where=curve.name,
            remedy="Take dropout and noise out, or fix the random state",
        )
    alone = np.array([curve(_SAMPLE[i : i + 1])[0] for i in range(0, _SAMPLE.size, 25)])
    if not np.allclose(once[::25], alone, rtol=1e-6, atol=1e-6):
        raise ActivationError(
            "its value at one element depends on the others",
            where=curve.name,
            remedy="Normalisations and softmax are no activations; give an element-wise function",
        )
