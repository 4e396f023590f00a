"""Any NumPy callable as an activation: checked, differentiated, and searched for kinks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from evenflow.errors import ActivationError
from evenflow.theory.activations.activation import Activation, Curve
from evenflow.theory.normal import Array
from evenflow.theory.quadrature import NODES

_REACH = 64
"""Kinks are looked for in |z| ≤ 64; further out, refining the integral has to find them."""
_STEP = 6e-6
"""Of the three-point derivative: it loses about 1e-11 each to truncation and to rounding."""
_MARGIN = 1e-9
"""Distance that the derivative keeps from a kink, whose place is known to a tenth of that."""
_SMOOTH = np.linalg.qr(np.polynomial.legendre.legvander(NODES, 15))[0]
_MISFIT: Array = np.eye(NODES.size) - _SMOOTH @ _SMOOTH.T
"""Turns values at the nodes of a panel into what is left after fitting a polynomial."""
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
    kinks = _singular_points(curve)
    slope: Curve
    if derivative is None:
        slope = _Slope(curve, kinks or [])
        slope_error = math.inf if kinks is None else _slope_error(curve, slope, kinks)
    else:
        slope, slope_error = _Checked(derivative, f"derivative of {name}"), 0.0
        _require_elementwise(slope)
        bends = _singular_points(slope)
        kinks = None if kinks is None or bends is None else _merge(kinks + bends)
    return Activation(
        name,
        curve,
        slope,
        kinks=tuple(kinks or ()),
        flat=() if kinks is None else _flat_pieces(slope, kinks),
        homogeneous=bool(
            np.allclose(_SAMPLE * slope(_SAMPLE), curve(_SAMPLE), rtol=1e-8, atol=1e-9)
        ),
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


def _singular_points(curve: Curve) -> list[float] | None:
    """Where the curve is not smooth: panels on which no polynomial fits are halved to the end.

    None if there are more than 256 such points, or if the curve is noise throughout: then refining
    the integral itself has to cope.
    """
    # Off the integers, so that a kink at a round number does not hide on an edge.
    low: Array = np.arange(-_REACH, _REACH, dtype=np.float64) + 1 / math.pi
    width = 1.0
    height = np.abs(curve(np.linspace(-2.0, 2.0, 41))).max()
    while low.size and width > 0.1 * _MARGIN:
        values = curve(low[:, None] + 0.5 * width * (NODES + 1))
        misfit, size = np.abs(values @ _MISFIT).max(axis=1), np.abs(values).max(axis=1)
        steepness = np.ptp(values, axis=1) / width  # turns the rounding of z into that of φ
        rough = misfit > 2e-14 * (size + height) + 1e-15 * np.abs(low) * steepness
        low, width = np.concatenate((low[rough], low[rough] + width / 2)), width / 2
        if low.size > 4096:
            return None
    points = _merge([_snap(point) for point in low.tolist()])
    return points if len(points) <= 256 else None


def _snap(point: float) -> float:
    """The round number that the search ended beside, if any."""
    rounded = round(point, 8) + 0.0
    return rounded if abs(point - rounded) < 0.2 * _MARGIN else point


def _merge(points: list[float]) -> list[float]:
    merged: list[float] = []
    for point in sorted(points):
        if not merged or point - merged[-1] > _MARGIN:
            merged.append(point)
    return merged


@dataclass(frozen=True)
class _Slope:
    """Derivative of the parabola through three points that all lie on one side of every kink."""

    curve: Curve
    kinks: list[float]

    def __call__(self, z: Array) -> Array:
        centre, step = z, _STEP * np.maximum(1.0, np.abs(z) / 8)
        if self.kinks:
            bounds = np.array([-np.inf, *self.kinks, np.inf])
            piece = np.searchsorted(self.kinks, z)
            left, right = bounds[piece] + _MARGIN, bounds[piece + 1] - _MARGIN
            step = np.minimum(step, np.maximum((right - left) / 4, _MARGIN))
            centre = np.clip(z, left + step, right - step)
        before, here, after = (self.curve(centre + k * step) for k in (-1, 0, 1))
        slope = (after - before) / (2 * step)
        bend = (after - 2 * here + before) / step**2
        return slope + np.where(centre == z, 0.0, (z - centre) * bend)


def _slope_error(curve: Curve, slope: Curve, kinks: list[float]) -> float:
    """Relative error of the numerical slope; infinite if the slope is, as that of √|z| at 0."""
    for kink in kinks:
        beside = np.abs(slope(kink + _MARGIN * np.array([-1e5, -1e3, 1e3, 1e5])))
        if beside[1] > 2 * beside[0] + 1 or beside[2] > 2 * beside[3] + 1:
            return math.inf
    sample = np.linspace(-3.0, 3.0, 61)
    typical = float(np.sqrt(np.mean(slope(sample) ** 2)))
    rounding = np.finfo(float).eps * float(np.abs(curve(sample)).max()) / _STEP
    return 1e-10 + (rounding / typical if typical > 0 else 0.0)


def _flat_pieces(slope: Curve, kinks: list[float]) -> tuple[tuple[float, float], ...]:
    """The pieces between kinks on which the slope is zero throughout."""
    bounds = [-float(_REACH), *kinks, float(_REACH)]
    outer = {0: -np.inf, len(kinks) + 1: np.inf}
    pieces = []
    for i, (low, high) in enumerate(pairwise(bounds)):
        inside = low + (high - low) * np.linspace(0.01, 0.99, 99)
        if not slope(inside).any():
            pieces.append((outer.get(i, low), outer.get(i + 1, high)))
    return tuple(pieces)
