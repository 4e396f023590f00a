"""Recorder: turns what the meters summed at one step into a sample of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from evenflow.record.run import Event
from evenflow.record.run_sums import quantities
from evenflow.record.run_writer import Reading, RunWriter, Sample
from evenflow.torch.watch.layers import Layer, Weight
from evenflow.torch.watch.meter import Meter, Transfers
from evenflow.torch.watch.ranks import Ranks


class Recorder:
    """Owns the meters, and the file where this process is the one that writes."""

    def __init__(self, writer: RunWriter | None, weights: list[Weight], ranks: Ranks) -> None:
        self.transfers = Transfers()
        self.forward = Meter(self.transfers)
        self.backward = Meter(self.transfers)
        self.gradients = Meter(self.transfers)
        self.gradients.grow(len(weights))
        self.writer = writer
        self._ranks = ranks
        self._layers = 0

    def appeared(self, layer: Layer, output: torch.Tensor) -> None:
        """Give a layer that runs for the first time its place."""
        layer.number = self._layers
        self._layers += 1
        self.forward.grow(self._layers)
        self.backward.grow(self._layers)
        if self.writer is not None:
            self.writer.add_layer(layer.number, layer.described(output))

    def clear(self) -> None:
        """Start a new step."""
        for meter in (self.forward, self.backward, self.gradients):
            meter.clear()

    def record(self, step: int, scalars: Mapping[str, float], scale: float) -> Sample | None:
        """Write the step that is over; what was written, or None in a process that does not.

        ``scale`` is what the loss was multiplied by before the backward pass: gradients of
        outputs are divided by it again, those of weights were by the optimiser's own caller.
        """
        self.transfers.fetch()
        meters = {"forward": 1.0, "backward": scale, "gradients": 1.0}
        sums = self._ranks.merged([getattr(self, name).sums for name in meters])
        if self.writer is None or sums is None:
            return None
        readings: dict[str, Reading] = {}
        for (name, by), rows in zip(meters.items(), sums, strict=True):
            cells = getattr(self, name).cells
            readings[name] = quantities(rows, cells, by), cells
        sample = Sample(step, scalars, readings)
        self.writer.add_sample(sample)
        return sample

    def happened(self, step: int, kind: str, place: str, detail: str) -> None:
        """Keep an event."""
        if self.writer is not None:
            self.writer.add_event(Event(step, kind, place, detail))


def losses(given: list[float | torch.Tensor]) -> dict[str, float]:
    """Mean, least and greatest of the losses since the last sample, in one transfer."""
    if not given:
        return {"loss": math.nan, "loss_low": math.nan, "loss_high": math.nan}
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    values = [float(value) for value in given if not isinstance(value, torch.Tensor)]
    if tensors:
        values += torch.stack(tensors).double().tolist()
    return {
        "loss": math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan,
        "loss_low": min(values),
        "loss_high": max(values),
    }
