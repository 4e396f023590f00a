"""What is measured of a weight besides its Statistics: shape of distribution, copies, symmetry."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.record.record import Statistics
from evenflow.record.statistics import aligned, measure


@dataclass(frozen=True)
class WeightMeasurement:
    """The values of one parameter in numbers; the fields are those of a WeightRecord."""

    values: Statistics
    kurtosis: float
    """E[w⁴]/E[w²]² of the finite values: 3 for a normal, 1.8 for a uniform distribution."""
    row_duplicates: float
    """Share of rows along the first axis that equal another row; NaN with fewer than two rows."""
    digest: str
    """Hash of shape, type and bytes: equal for parameters of identical values."""


def measure_weight(array: NDArray[np.floating]) -> WeightMeasurement:
    """Measure a floating-point parameter of any shape.

    Rows run along the first axis: output units, output channels, or experts of a stacked weight.
    Equal rows are told by their bytes. Raises InputError for types that are no floats.
    """
    from evenflow.record.kernels import fourth_power_sum

    values = measure(array, unit_axis=None, example_axis=None)
    flat = aligned(array, None, None).reshape(-1)
    finite = values.count - values.nonfinite
    spread = values.second_moment**2 * finite
    return WeightMeasurement(
        values=values,
        kurtosis=fourth_power_sum(flat) / spread if spread > 0 else float("nan"),
        row_duplicates=row_duplicates(array),
        digest=digest_of(array),
    )


def row_duplicates(array: NDArray[np.floating]) -> float:
    """Share of rows along the first axis that equal another; NaN with fewer than two rows."""
    if array.ndim < 2 or array.shape[0] < 2 or array.size == 0:
        return float("nan")
    rows = np.ascontiguousarray(array.reshape(array.shape[0], -1))
    packed = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
    _, counts = np.unique(packed, return_counts=True)
    return float(counts[counts > 1].sum() / len(rows))


def is_uniform(array: NDArray[np.floating]) -> bool:
    """Whether the values are spread evenly around 0: E[w⁴]/E[w²]² near 1.8, the greatest at √3 σ.

    Within four standard errors of both; never of fewer than 64 values.
    """
    flat = array.astype(np.float64).reshape(-1)
    second = float(np.mean(flat**2)) if flat.size else 0.0
    if flat.size < 64 or not second > 0:
        return False
    kurtosis = float(np.mean(flat**4)) / second**2
    reach = float(np.abs(flat).max()) / math.sqrt(3 * second)
    near = 4 / math.sqrt(flat.size)
    return abs(kurtosis - 1.8) < near and abs(reach - 1) < near / 2


def digest_of(array: NDArray[np.floating]) -> str:
    """Hash of shape, type and bytes."""
    digest = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
