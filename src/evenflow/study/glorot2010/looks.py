"""From what was seen of a network to the rows of charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evenflow.report.charts.frame import Row, compact
from evenflow.report.words import figure
from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.scales import EPOCH

MOST_TIMES = 24
"""Looks that a chart of one training shows, evenly spread."""


class Time(NamedTuple):
    """How training time is told: in updates, or in the paper's epochs of 20,000 of them."""

    title: str
    unit: int


UPDATES, EPOCHS = Time("updates", 1), Time("epochs of 20,000 updates", EPOCH)


def layers(result: Arrays, key: str = "activation_sd") -> list[str]:
    """Names of the layers, the lowest first."""
    return [f"layer {number + 1}" for number in range(result[key].shape[1])]


def hidden(result: Arrays) -> Arrays:
    """Without the output layer, whose weight gradients are of another size."""
    count = result["activation_sd"].shape[1]
    return {
        key: value[:, :count] if key.startswith("weight_gradient_") else value
        for key, value in result.items()
    }


def by_layer(result: Arrays, key: str, time: Time = UPDATES, kind: str = "") -> list[Row]:
    """One row a layer and look: the statistic ``key`` through training time."""
    places = _thinned(len(result["observed_at"]))
    return [
        {
            "x": compact(float(result["observed_at"][place]) / time.unit),
            "y": compact(float(value)),
            "series": layer,
            "kind": kind,
        }
        for place in places
        for layer, value in zip(layers(result, key), result[key][place], strict=True)
    ]


def spread(result: Arrays, time: Time = UPDATES) -> list[Row]:
    """Mean activations through training time, with one standard deviation to either side."""
    rows = by_layer(result, "activation_mean", time)
    sds = [row["y"] for row in by_layer(result, "activation_sd", time)]
    return [
        {**row, "low": compact(row["y"] - sd), "high": compact(row["y"] + sd)}
        for row, sd in zip(rows, sds, strict=True)
    ]


def errors(result: Arrays, series: str, kind: str = "", time: Time = UPDATES) -> list[Row]:
    """Test error in per cent through training time."""
    return [
        {
            "x": compact(float(at) / time.unit),
            "y": compact(100 * float(error)),
            "series": series,
            "kind": kind,
        }
        for at, error in zip(result["evaluated_at"], result["test_error"], strict=True)
    ]


def shapes(result: Arrays, name: str, places: Sequence[int] = ()) -> list[Row]:
    """Histograms of ``name`` layer by layer, at these looks (the last alone by default)."""
    chosen = list(places) or [len(result["observed_at"]) - 1]
    rows = []
    for time, place in enumerate(chosen):
        for row, layer in enumerate(layers(result, f"{name}_sd")):
            counts = result[f"{name}_histogram"][place, row]
            low, high = map(float, result[f"{name}_extent"][place, row])
            step = (high - low) / len(counts)
            rows.append(
                {
                    "row": row,
                    "time": time,
                    "layer": layer,
                    "said": f"sd {figure(float(result[f'{name}_sd'][place, row]))}",
                    "at": [compact(low + (k + 0.5) * step) for k in range(len(counts))],
                    "height": np.round(counts / max(counts.max(), 1), 3).tolist(),
                }
            )
    return rows


def moments(result: Arrays) -> tuple[list[int], list[str]]:
    """Looks that a slider goes through, and what each is called."""
    places = _thinned(len(result["observed_at"]))
    return places, [f"after {int(result['observed_at'][place]):,} updates" for place in places]


def _thinned(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_TIMES)).round().astype(int)))
