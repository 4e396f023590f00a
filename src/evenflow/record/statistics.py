"""Statistics of one tensor: exact moments in one pass, the rest from bounded samples.

Sums over all elements (moments, extremes, zeros, shared parts) are exact. Percentiles and the
histogram come from at most 2¹⁵ elements spread evenly over the tensor, all of them where there
are no more: the error of the 2nd percentile of a normal tensor is then 0.016 σ. The effective
rank comes from at most 256 examples or positions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.record.record import Histogram, Statistics

SAMPLE = 2**15
"""Most elements that percentiles and histograms are taken from."""
CELLS = 64
"""Cells of a histogram."""
_ROWS = 256
"""Most examples or positions that an effective rank is taken from …"""
_ROW_ELEMENTS = 2**22
"""… and most elements in them together, which bounds memory where units are many."""
_NAN = float("nan")

_EMPTY = Statistics(
    count=0,
    mean=_NAN,
    variance=_NAN,
    second_moment=_NAN,
    minimum=_NAN,
    maximum=_NAN,
    percentile_2=_NAN,
    percentile_98=_NAN,
    nonfinite=0,
    zero_share=_NAN,
    histogram=Histogram(_NAN, _NAN, ()),
)

Array = NDArray[np.float32] | NDArray[np.float64]


def measure(
    array: NDArray[np.floating], *, unit_axis: int | None, example_axis: int | None = 0
) -> Statistics:
    """Statistics of a floating-point tensor of any rank, in one pass over it.

    ``unit_axis`` is the axis of units (features, channels): 1 for a convolution's output, −1 for
    a linear layer's; None where there is none, and then ``unit_mean_square`` and
    ``effective_rank`` are NaN. ``example_axis`` is the axis of examples; None where there is none
    (a weight), and then ``correlation``, ``unit_mean_square`` and ``effective_rank`` are NaN. All
    other axes are positions.

    Shared parts are unbiased: with S the sum over B examples, S² − Σx² holds the products of
    *different* examples only, and there are B(B − 1) of them.

    Raises InputError for anything but float16, float32 and float64, and for wrong axes.
    """
    x = aligned(array, unit_axis, example_axis)
    if x.size == 0:
        return _EMPTY
    from evenflow.record.kernels import moments_pass  # Numba loads when it is first needed

    sample = _sample(x)
    shift = float(sample[0]) if sample.size else 0.0
    s, ss, low, high, zeros, nonfinite, element, unit = moments_pass(x, shift)
    finite = x.size - nonfinite
    if finite == 0:
        low = high = mean = variance = _NAN
    else:
        mean = shift + s / finite
        variance = max(ss / finite - (s / finite) ** 2, 0.0)
    second = variance + mean**2
    comparable = example_axis is not None and x.shape[0] > 1 and nonfinite == 0
    units = comparable and unit_axis is not None
    pairs = x.shape[0] * (x.shape[0] - 1)
    percentile_2, percentile_98 = _percentiles(sample, low, high)
    return Statistics(
        count=x.size,
        mean=mean,
        variance=variance,
        second_moment=second,
        minimum=low,
        maximum=high,
        percentile_2=percentile_2,
        percentile_98=percentile_98,
        nonfinite=nonfinite,
        zero_share=zeros / x.size,
        histogram=_histogram(sample, mean, math.sqrt(variance), low, high),
        correlation=_shared(element - second * x.size, pairs * x[0].size, second, comparable),
        unit_mean_square=unit / (pairs * x.shape[2] * (x[0].size // x.shape[2]) ** 2)
        if units
        else _NAN,
        effective_rank=_effective_rank(x) if units and second > 0 else _NAN,
    )


def aligned(array: NDArray[np.floating], unit_axis: int | None, example_axis: int | None) -> Array:
    """The tensor as a contiguous (examples, before, units, after), float32 or float64.

    Costs a copy where the axes are not in this order in memory already, or for float16.
    """
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(
            f"statistics are taken of floating-point tensors, not of {array.dtype}",
            remedy="convert the tensor to float32 first",
        )
    rank = array.ndim
    for name, axis in (("unit_axis", unit_axis), ("example_axis", example_axis)):
        if axis is not None and not -rank <= axis < rank:
            raise InputError(f"{name} {axis} is outside a tensor of {rank} axes")
    examples = None if example_axis is None else example_axis % rank
    units = None if unit_axis is None else unit_axis % rank
    if examples is not None and examples == units:
        raise InputError(f"axis {examples} cannot be both the examples' and the units'")
    x = array.astype(np.float32) if array.dtype == np.float16 else array
    x = x[None] if examples is None else np.moveaxis(x, examples, 0)
    if units is None:
        return np.ascontiguousarray(x).reshape(x.shape[0], -1 if x.size else 0, 1, 1)
    at = units + (examples is None or units < examples)
    before, after = math.prod(x.shape[1:at]), math.prod(x.shape[at + 1 :])
    return np.ascontiguousarray(x).reshape(x.shape[0], before, x.shape[at], after)


def _shared(products: float, terms: int, second: float, defined: bool) -> float:
    """Share of the second moment that different examples have in common."""
    return products / terms / second if defined and second > 0 else _NAN


def _sample(x: Array) -> Array:
    """At most SAMPLE finite elements, spread evenly and without a rhythm, in float64.

    Steps of the golden section through the flat tensor meet every axis alike, whatever its
    length: multiples of a number prime to the size never come back before all are seen.
    """
    flat = x.reshape(-1)
    if flat.size > SAMPLE:
        step = round(flat.size * (math.sqrt(5) - 1) / 2)
        while math.gcd(step, flat.size) > 1:
            step += 1
        flat = flat[np.arange(SAMPLE, dtype=np.int64) * step % flat.size]
    return flat[np.isfinite(flat)].astype(np.float64)


def _percentiles(sample: Array, low: float, high: float) -> tuple[float, float]:
    if not sample.size:
        return _NAN, _NAN
    at_2, at_98 = np.clip(np.percentile(sample, (2, 98)), low, high)
    return float(at_2), float(at_98)


def _histogram(sample: Array, mean: float, sd: float, low: float, high: float) -> Histogram:
    """Equal cells over the values' range, but no further than 4 σ from the mean."""
    if not sample.size:
        return Histogram(_NAN, _NAN, ())
    low, high = max(low, mean - 4 * sd), min(high, mean + 4 * sd)
    if not low < high:  # all values are equal, but for rounding
        low = high = float(sample[0])
    counts, edges = np.histogram(np.clip(sample, low, high), bins=CELLS, range=(low, high))
    return Histogram(float(edges[0]), float(edges[-1]), tuple(int(n) for n in counts))


def _effective_rank(x: Array) -> float:
    """Participation ratio (tr C)²/tr C² of the units' second-moment matrix C.

    Rows are (example, position) pairs. tr C² is the mean of (x·y)² over pairs of different rows,
    (tr C)² that of |x|²|y|², so neither is biased by how many rows were looked at. Where all
    rows are at right angles tr C² cannot be told from 0: the rank is then infinite to the
    sample, and the number of units is given.
    """
    examples, before, units, after = x.shape
    positions = before * after
    count = min(examples * positions, _ROWS, max(_ROW_ELEMENTS // units, 32))
    chosen = np.linspace(0, examples * positions - 1, count).astype(np.int64)
    b, p = chosen // positions, chosen % positions
    rows = x[b, p // after, :, p % after].astype(np.float64)
    rows /= np.abs(rows).max() or 1.0
    gram = rows @ rows.T
    norms = np.diag(gram)
    whole = norms.sum() ** 2 - (norms**2).sum()
    squares = (gram**2).sum() - (norms**2).sum()
    if whole <= 0:
        return _NAN
    return float(min(whole / squares, units)) if squares > 0 else float(units)
