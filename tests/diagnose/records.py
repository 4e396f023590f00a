"""Records made by hand: only the numbers that a test is about are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evenflow.record.record import (
    Histogram,
    LayerRecord,
    LossRecord,
    Record,
    Statistics,
    WeightRecord,
)


def statistics(
    second: float = 1.0, mean: float = 0.0, count: int = 4096, **more: Any
) -> Statistics:
    reach = 4 * math.sqrt(max(second, 0.0))
    given: dict[str, Any] = {
        "count": count,
        "mean": mean,
        "variance": max(second - mean**2, 0.0),
        "second_moment": second,
        "minimum": -reach,
        "maximum": reach,
        "percentile_2": -reach / 2,
        "percentile_98": reach / 2,
        "nonfinite": 0,
        "zero_share": 0.0,
        "histogram": Histogram(-reach, reach, (0,) * 64),
        "correlation": 0.1,
        "unit_mean_square": 0.0,
        "effective_rank": 10.0,
    }
    return Statistics(**{**given, **more})


def layer(
    node: str,
    op: str = "linear",
    inputs: Sequence[str] = (),
    second: float = 1.0,
    gradient: float | None = 1.0,
    **more: Any,
) -> LayerRecord:
    """``more`` may hold fields of the layer, and ``forward=`` or ``backward=`` as Statistics."""
    activation = op if op in ("relu", "tanh", "logistic", "gelu", "elu") else None
    given: dict[str, Any] = {
        "layer": node,
        "op": op,
        "shape": (64, 64),
        "depth": 0,
        "forward": statistics(second),
        "backward": None if gradient is None else statistics(gradient),
        "activation": activation,
        "inputs": tuple(inputs),
    }
    return LayerRecord(node, **{**given, **more})


def weight(
    name: str,
    node: str = "",
    second: float = 2 / 64,
    shape: tuple[int, ...] = (64, 64),
    **more: Any,
) -> WeightRecord:
    """A weight of He's variance for 64 inputs, with a gradient; ``more`` replaces fields."""
    given: dict[str, Any] = {
        "shape": shape,
        "role": "linear",
        "trainable": True,
        "values": statistics(second, count=math.prod(shape)),
        "gradient": statistics(1.0),
        "fan_in": math.prod(shape[1:]),
        "fan_out": shape[0] * math.prod(shape[2:]),
        "gain_forward": 0.5,
        "gain_backward": 0.5,
        "layers": (node,) if node else (),
        "row_duplicates": 0.0,
        "kurtosis": 3.0,
    }
    return WeightRecord(name, **{**given, **more})


def record(
    layers: Sequence[LayerRecord] = (),
    weights: Sequence[WeightRecord] = (),
    inputs: dict[str, Statistics] | None = None,
    loss: LossRecord | None = None,
) -> Record:
    return Record("Net", tuple(layers), tuple(weights), inputs or {}, loss, "export")


def chain(
    seconds: Sequence[float],
    gradients: Sequence[float] | None = None,
    shares: Sequence[float] | None = None,
    **more: Any,
) -> Record:
    """Linear layers fc0, fc1 … on end, of the given second moments and gradients, and a head.

    ``shares`` are those parts of the second moments that differ between examples.
    """
    gradients = gradients or [1.0] * len(seconds)
    shares = shares or [0.9] * len(seconds)
    layers = [
        layer(
            f"fc{i}",
            inputs=(f"fc{i - 1}" if i else "x",),
            forward=statistics(second, correlation=1 - share),
            backward=statistics(gradient),
        )
        for i, (second, gradient, share) in enumerate(zip(seconds, gradients, shares, strict=True))
    ]
    layers.append(layer("head", inputs=(layers[-1].node,)))
    weights = [weight(f"{each.node}.weight", each.node) for each in layers]
    return record(layers, weights, **more)
