"""What is summed of a tensor at a sampled step, and the quantities that follow from the sums.

Sums add up over several forward passes of a step and over processes; quantities are what a Run
keeps. Both are rows of plain floats, one row a tensor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 32
"""Cells of a histogram."""

# Places in a row of sums.
COUNT, TOTAL, SQUARES, MINIMUM, MAXIMUM, NONFINITE, ZEROS, SIZE = range(8)
PRODUCTS, PAIRS = 8, 9
"""Σ of products of one element in two different examples, and how many there are."""
LOOKED, SATURATED, UNITS, DEAD = range(10, 14)
"""Of pre-activations: elements looked at, saturated ones; units looked at, dead ones."""
LOW, HIGH = 14, 15
"""Range of the histogram; NaN before the first count."""
WEIGHT_SQUARES, WEIGHTS, UPDATE_SQUARES, UNCHANGED, UPDATED = range(16, 21)
"""Of a parameter's sample: Σw² before a step and of how many elements; Σ(Δw)² of the step, elements
that stayed the same, and how many were compared."""
PLACES = 21
"""Where the cells of the histogram begin, the last of a row."""

QUANTITIES = (
    "mean",
    "second_moment",
    "minimum",
    "maximum",
    "percentile_2",
    "percentile_98",
    "nonfinite_share",
    "zero_share",
    "saturated_share",
    "dead_share",
    "correlation",
    "histogram_low",
    "histogram_high",
    "effective_rank",
    "singular_value",
    "weight_rms",
    "update_ratio",
    "unchanged_share",
)
"""What a Run knows of a tensor at a sampled step, in this order; NaN where it was not measured.

``correlation`` is the share of the second moment that all examples have in common, s_B/q; of a
gradient it is the signal in it against the noise of single examples. ``update_ratio`` is
‖Δw‖/‖w‖ of one optimiser step, ``unchanged_share`` the share of weights it left as they were.
"""

_IN_UNITS = [
    QUANTITIES.index(name)
    for name in (
        *("mean", "minimum", "maximum", "percentile_2", "percentile_98"),
        *("histogram_low", "histogram_high"),
    )
]
_IN_SQUARES = [QUANTITIES.index("second_moment")]
"""Quantities that are scaled as the tensor is, and as its square is."""

Sums = NDArray[np.float64]


def empty_sums(tensors: int) -> Sums:
    """Rows of sums before anything was added."""
    sums = np.zeros((tensors, PLACES + CELLS))
    sums[:, MINIMUM], sums[:, MAXIMUM] = np.inf, -np.inf
    sums[:, LOW] = sums[:, HIGH] = np.nan
    return sums


def merged(parts: list[Sums]) -> Sums:
    """The sums of several processes as one; the histogram stays the first one's."""
    stacked = np.stack(parts)
    whole: Sums = stacked.sum(axis=0)
    whole[:, MINIMUM] = stacked[:, :, MINIMUM].min(axis=0)
    whole[:, MAXIMUM] = stacked[:, :, MAXIMUM].max(axis=0)
    for kept in (slice(LOW, HIGH + 1), slice(PLACES, None)):
        whole[:, kept] = stacked[0, :, kept]
    return whole


def quantities(sums: Sums, scale: float | NDArray[np.float64] = 1.0) -> NDArray[np.float32]:
    """``QUANTITIES`` of each row; ``scale``, one or a column of one a row, is what the tensor was
    multiplied by, and is divided by again.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        count, cells = sums[:, COUNT], sums[:, PLACES:]
        second = sums[:, SQUARES] / count
        weight = sums[:, WEIGHT_SQUARES] / sums[:, WEIGHTS]
        change = sums[:, UPDATE_SQUARES] / sums[:, UPDATED]
        elements = count + sums[:, NONFINITE]
        low, high = sums[:, LOW], sums[:, HIGH]
        found = {
            "mean": sums[:, TOTAL] / count,
            "second_moment": second,
            "minimum": np.where(count > 0, sums[:, MINIMUM], np.nan),
            "maximum": np.where(count > 0, sums[:, MAXIMUM], np.nan),
            "percentile_2": percentile(cells, low, high, 0.02),
            "percentile_98": percentile(cells, low, high, 0.98),
            "nonfinite_share": sums[:, NONFINITE] / elements,
            "zero_share": sums[:, ZEROS] / elements,
            "saturated_share": sums[:, SATURATED] / sums[:, LOOKED],
            "dead_share": sums[:, DEAD] / sums[:, UNITS],
            "correlation": sums[:, PRODUCTS] / sums[:, PAIRS] / second,
            "histogram_low": low,
            "histogram_high": high,
            "weight_rms": np.sqrt(weight),
            "update_ratio": np.sqrt(change / weight),
            "unchanged_share": sums[:, UNCHANGED] / sums[:, UPDATED],
        }
    nothing = np.full(len(sums), np.nan)
    values = np.stack([found.get(name, nothing) for name in QUANTITIES], axis=1)
    values[:, _IN_UNITS] /= scale
    values[:, _IN_SQUARES] /= np.square(scale)
    return values.astype(np.float32)


def percentile(
    cells: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Value below which ``share`` of each histogram lies, linear within a cell."""
    total = cells.sum(axis=1)
    wanted = share * total
    below = np.cumsum(cells, axis=1)
    cell = np.minimum((below < wanted[:, None]).sum(axis=1), cells.shape[1] - 1)
    rows = np.arange(len(cells))
    inside = cells[rows, cell]
    before = below[rows, cell] - inside
    part = np.divide(wanted - before, inside, out=np.full(len(cells), 0.5), where=inside > 0)
    value: NDArray[np.float64] = low + (cell + part) / cells.shape[1] * (high - low)
    return np.where(total > 0, value, np.nan)
