"""Sinks: other places than the run that are told of each sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evenflow.record.run_sums import QUANTITIES
from evenflow.record.run_writer import Reading


class Sink(Protocol):
    """What a tracker has to do to be told of a watched training."""

    histograms: bool
    """Whether it wants a histogram of every layer, besides the few scalars."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one sampled step by name: loss, gradient norm, the worst of the layers."""

    def histogram(
        self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]
    ) -> None:
        """One layer's outputs; only called where ``histograms`` is set."""


def tell(
    sink: Sink,
    step: int,
    scalars: Mapping[str, float],
    readings: Mapping[str, Reading],
    names: Sequence[str],
) -> None:
    """Tell a sink of one sample."""
    told = {f"evenflow/{name}": v for name, v in scalars.items() if math.isfinite(v)}
    for quantity, kind, name in (
        ("saturated_share", "forward", "most_saturated"),
        ("dead_share", "forward", "most_dead"),
        ("update_ratio", "gradients", "greatest_update_ratio"),
    ):
        values = readings[kind][0][:, QUANTITIES.index(quantity)]
        known = values[np.isfinite(values)]
        if known.size:
            told[f"evenflow/{name}"] = float(known.max())
    sink.scalars(step, told)
    if not sink.histograms:
        return
    values, cells = readings["forward"]
    ends = [QUANTITIES.index("histogram_low"), QUANTITIES.index("histogram_high")]
    for row, counts, name in zip(values, cells, names, strict=True):
        low, high = (float(end) for end in row[ends])
        if counts.any() and low < high:
            edges = np.linspace(low, high, len(counts) + 1)
            sink.histogram(step, f"evenflow/{name}", counts.astype(np.int64), edges)
