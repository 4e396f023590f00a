"""The key figures of a Record: what stands large on the page and first in the terminal."""

from __future__ import annotations

import math
import statistics as samples
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evenflow.record.audit import Audit, TensorAudit
from evenflow.record.record import LayerRecord, LossRecord, Record
from evenflow.report.layers import Pass, brief, labels, main_path, prediction, statistics
from evenflow.report.verdict import ratios
from evenflow.report.words import figure, percent, short


class KeyFigure(NamedTuple):
    """One number, what it is, and what to hold it against."""

    name: str
    value: str
    gloss: str


def key_figures(record: Record) -> list[KeyFigure]:
    """The few numbers that tell a network's state; those that were not measured are left out."""
    if isinstance(record, Audit):
        return list(_stored(record.stored))
    return [*_journeys(record), *_predictions(record), *_saturation(record), *_loss(record.loss)]


def _stored(tensors: Sequence[TensorAudit]) -> Iterator[KeyFigure]:
    types = ", ".join(sorted({tensor.code for tensor in tensors}))
    yield KeyFigure("Tensors measured", f"{len(tensors):,}", types)
    yield KeyFigure("Values", f"{sum(tensor.count for tensor in tensors):,}", "each one was read")
    weights = [t for t in tensors if len(t.shape) > 1 and t.nonfinite < t.count]
    sizes = {tensor.name: math.sqrt(tensor.second_moment) for tensor in weights}
    if sizes:
        low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        yield KeyFigure("Smallest scale", figure(sizes[low]), f"√E[w²] of {short(low, 40)}")
        yield KeyFigure("Largest scale", figure(sizes[high]), f"√E[w²] of {short(high, 40)}")


def _journeys(record: Record) -> Iterator[KeyFigure]:
    ways: tuple[tuple[str, Pass], ...] = (
        ("Forwards, end to end", "forward"),
        ("Backwards, end to end", "backward"),
    )
    for (name, direction), ratio in zip(ways, ratios(record), strict=True):
        path = main_path(record, direction)
        if len(path) < 2:
            continue
        names = labels(path)
        _, ends = brief([names[layer.node] for layer in (path[0], path[-1])], 12)
        if direction == "backward":
            ends.reverse()
        gloss = f"second moment, layer {ends[0]} → {ends[1]}"
        yield KeyFigure(name, f"× {figure(ratio)}" if math.isfinite(ratio) else "lost", gloss)


def _predictions(record: Record) -> Iterator[KeyFigure]:
    errors = [
        abs(math.log(measured.second_moment / expected))
        for layer in record.layers
        for direction in ("forward", "backward")
        if (measured := statistics(layer, direction)) is not None
        and (expected := prediction(layer, direction)) > 0
        and math.isfinite(expected)
        and 0 < measured.second_moment < math.inf
    ]
    if errors:
        error = math.expm1(samples.median(errors))
        yield KeyFigure(
            "Prediction error", f"{100 * error:.1f} %", f"median over {len(errors)} second moments"
        )


def _saturation(record: Record) -> Iterator[KeyFigure]:
    measured = [layer for layer in record.layers if math.isfinite(layer.saturated_share)]
    if measured:
        worst = max(measured, key=_saturated)
        where = f"layer {short(worst.layer or worst.node, 24)}"
        share = worst.saturated_share
        yield KeyFigure("Most saturated", percent(share), where if share > 0 else "in all layers")


def _saturated(layer: LayerRecord) -> float:
    return layer.saturated_share


def _loss(loss: LossRecord | None) -> Iterator[KeyFigure]:
    if loss is None or not loss.kind:
        return
    chance = "chance unknown" if math.isnan(loss.chance) else f"a guess costs {figure(loss.chance)}"
    yield KeyFigure("Loss at the start", figure(loss.value), chance)
