"""Recorder: turns what was measured at one step into a sample of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from evenflow.record.run import Event
from evenflow.record.run_quantities import quantities
from evenflow.record.run_schema import READINGS
from evenflow.record.run_sums import merged
from evenflow.record.run_writer import Reading, RunWriter, Sample
from evenflow.torch.watch.layers import Layer
from evenflow.torch.watch.meter import Meter, Transfers
from evenflow.torch.watch.optimiser import Norms
from evenflow.torch.watch.ranks import Ranks
from evenflow.torch.watch.sinks import Sink, tell
from evenflow.torch.watch.spectra import Spectra

_LOSS, _LOSSES, _LOW, _HIGH, _AFTER, _NOW, _NOTED = range(7)
"""Places of what processes tell each other besides sums of tensors; norms are squared."""


class Recorder:
    """Owns the meters, and the file where this process is the one that writes."""

    def __init__(
        self, writer: RunWriter | None, weights: int, ranks: Ranks, sinks: Sequence[Sink] = ()
    ) -> None:
        self.transfers = Transfers()
        self.forward = Meter(self.transfers)
        self.backward = Meter(self.transfers)
        self.gradients = Meter(self.transfers)
        self.gradients.grow(weights)
        self.spectra = Spectra(self.transfers)
        self.writer = writer
        self._ranks, self._sinks = ranks, sinks
        self._names: list[str] = []

    def appeared(self, layer: Layer, output: torch.Tensor) -> None:
        """Give a layer that runs for the first time its place."""
        layer.number = len(self._names)
        self._names.append(layer.name)
        self.forward.grow(len(self._names))
        self.backward.grow(len(self._names))
        if self.writer is not None:
            self.writer.add_layer(layer.number, layer.described(output))

    def clear(self, sample: int) -> None:
        """Start the step of a sample, counted from 0."""
        for meter in (self.forward, self.backward, self.gradients):
            meter.clear()
        self.spectra.arm(sample)

    def record(
        self,
        step: int,
        losses: list[float],
        norms: Norms,
        rate: float,
        scale: float,
        *,
        sharded: bool,
    ) -> None:
        """Write the step that is over, of all processes together.

        ``losses`` are those since the sample before, ``norms`` of this process's gradients: parts
        of a whole where they are ``sharded``, else copies. ``scale`` is what the loss was
        multiplied by before the backward pass: gradients of outputs are divided by it again, those
        of weights were by whoever called the optimiser.
        """
        meters = (self.forward, self.backward, self.gradients)
        own = [meter.sums for meter in meters]
        sums, told = own, [_told(losses, norms)]
        if self._ranks.count > 1:
            everyone = self._ranks.gathered([*own, np.array(told)])
            *parts, rows = zip(*everyone, strict=True)
            sums, told = [merged(part) for part in parts], [row[0].tolist() for row in rows]
        if self.writer is None:
            return
        readings: dict[str, Reading] = {
            name: quantities(part, scale if name == "backward" else 1.0)
            for name, part in zip(READINGS, sums, strict=True)
        }
        self.spectra.add_to(readings["forward"])
        scalars = _scalars(told, sharded=sharded)
        scalars["learning_rate"] = rate
        self.writer.add_sample(Sample(step, scalars, readings))
        for sink in self._sinks:
            tell(sink, step, scalars, readings, self._names)

    def happened(self, step: int, kind: str, place: str, detail: str) -> None:
        """Keep an event."""
        if self.writer is not None:
            self.writer.add_event(Event(step, kind, place, detail))


def _told(losses: list[float], norms: Norms) -> list[float]:
    finite = [loss for loss in losses if math.isfinite(loss)]
    low, high = (min(finite), max(finite)) if finite else (math.inf, -math.inf)
    return [math.fsum(finite), len(finite), low, high, *norms]


def _scalars(told: list[list[float]], *, sharded: bool) -> dict[str, float]:
    """What the processes told, one a row; the norm of copies is that of any of them."""
    columns = list(zip(*told, strict=True))
    count = sum(columns[_LOSSES])
    after, now, noted = (
        math.fsum(columns[k]) if sharded else columns[k][0] for k in (_AFTER, _NOW, _NOTED)
    )
    factor = math.sqrt(now / noted) if noted else 1.0
    # Within rounding of 1, and anything above, is no clipping.
    before = math.sqrt(after) / (factor if 0 < factor < 0.999 else 1.0)
    return {
        "loss": math.fsum(columns[_LOSS]) / count if count else math.nan,
        "loss_low": min(columns[_LOW]) if count else math.nan,
        "loss_high": max(columns[_HIGH]) if count else math.nan,
        "norm_before": math.nan if math.isnan(noted) else before,
        "norm_after": math.sqrt(after),
    }
