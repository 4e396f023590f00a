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

Sums = NDArray[np.float64]


def empty_sums(tensors: int) -> Sums:
    """Rows of sums before anything was added."""
    sums = np.zeros((tensors, PLACES))
    sums[:, MINIMUM], sums[:, MAXIMUM] = np.inf, -np.inf
    sums[:, LOW] = sums[:, HIGH] = np.nan
    return sums


def merged(parts: list[Sums]) -> Sums:
    """The sums of several processes as one; the histogram's range stays the first one's."""
    stacked = np.stack(parts)
    whole: Sums = stacked.sum(axis=0)
    whole[:, MINIMUM] = stacked[:, :, MINIMUM].min(axis=0)
    whole[:, MAXIMUM] = stacked[:, :, MAXIMUM].max(axis=0)
    whole[:, LOW : HIGH + 1] = stacked[0, :, LOW : HIGH + 1]
    return whole


def quantities(sums: Sums, cells: NDArray[np.int32], scale: float = 1.0) -> NDArray[np.float32]:
    """``QUANTITIES`` of each row; ``scale`` is what gradients were multiplied by, and are divided
    by again.
    """
    found = np.full((len(sums), len(QUANTITIES)), np.nan)
    at = QUANTITIES.index
    with np.errstate(divide="ignore", invalid="ignore"):
        count, elements = sums[:, COUNT], sums[:, COUNT] + sums[:, NONFINITE]
        second = sums[:, SQUARES] / count
        found[:, at("mean")] = sums[:, TOTAL] / count / scale
        found[:, at("second_moment")] = second / scale**2
        found[:, at("nonfinite_share")] = sums[:, NONFINITE] / elements
        found[:, at("zero_share")] = sums[:, ZEROS] / elements
        found[:, at("saturated_share")] = sums[:, SATURATED] / sums[:, LOOKED]
        found[:, at("dead_share")] = sums[:, DEAD] / sums[:, UNITS]
        found[:, at("correlation")] = sums[:, PRODUCTS] / sums[:, PAIRS] / second
        for name, place in (
            ("minimum", MINIMUM),
            ("maximum", MAXIMUM),
            ("histogram_low", LOW),
            ("histogram_high", HIGH),
        ):
            found[:, at(name)] = np.where(count > 0, sums[:, place] / scale, np.nan)
        mean = sums[:, WEIGHT_SQUARES] / sums[:, WEIGHTS]
        found[:, at("weight_rms")] = np.sqrt(mean)
        change = sums[:, UPDATE_SQUARES] / sums[:, UPDATED]
        found[:, at("update_ratio")] = np.sqrt(change / mean)
        found[:, at("unchanged_share")] = sums[:, UNCHANGED] / sums[:, UPDATED]
        found[:, at("percentile_2")] = percentile(cells, sums[:, LOW], sums[:, HIGH], 0.02) / scale
        found[:, at("percentile_98")] = percentile(cells, sums[:, LOW], sums[:, HIGH], 0.98) / scale
    return found.astype(np.float32)


def percentile(
    cells: NDArray[np.int32], low: NDArray[np.float64], high: NDArray[np.float64], share: float
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
