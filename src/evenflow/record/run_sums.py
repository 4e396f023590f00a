"""What is summed of a tensor at a sampled step, and the names of what follows from the sums.

Sums add up over several forward passes of a step and over processes; quantities are what a Run
keeps. Both are rows of plain floats, one row a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

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
WHOLE = 21
"""Of a parameter's gradient: Σx² over all of its elements, and no sample."""
PLACES = 22
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

Sums = NDArray[np.float64]
SAFE = {"reassoc", "nsz", "contract"}
"""What a compiler may do to sums: reorder them, so that they are vectorised; NaN and infinity keep
their meaning."""


def empty_sums(tensors: int) -> Sums:
    """Rows of sums before anything was added."""
    sums = np.zeros((tensors, PLACES + CELLS))
    sums[:, MINIMUM], sums[:, MAXIMUM] = np.inf, -np.inf
    sums[:, LOW] = sums[:, HIGH] = np.nan
    return sums


def merged(parts: Sequence[Sums]) -> Sums:
    """The sums of several processes as one; the histogram stays the first one's."""
    stacked = np.stack(parts)
    whole: Sums = stacked.sum(axis=0)
    whole[:, MINIMUM] = stacked[:, :, MINIMUM].min(axis=0)
    whole[:, MAXIMUM] = stacked[:, :, MAXIMUM].max(axis=0)
    for kept in (slice(LOW, HIGH + 1), slice(PLACES, None)):
        whole[:, kept] = stacked[0, :, kept]
    return whole
