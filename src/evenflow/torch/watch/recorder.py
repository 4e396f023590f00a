"""Recorder: turns what was measured at one step into a sample of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from evenflow.record.run import Event
from evenflow.record.run_schema import READINGS
from evenflow.record.run_sums import PLACES, Sums, merged, quantities
from evenflow.record.run_writer import Reading, RunWriter, Sample
from evenflow.torch.watch.layers import Layer
from evenflow.torch.watch.meter import Meter, Transfers
from evenflow.torch.watch.ranks import Ranks
from evenflow.torch.watch.sinks import Sink, tell
from evenflow.torch.watch.spectra import Spectra

_LOSS, _LOSSES, _LOW, _HIGH, _BEFORE, _AFTER = range(6)
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
        norms: tuple[float, float],
        rate: float,
        scale: float,
        *,
        sharded: bool,
    ) -> None:
        """Write the step that is over, of all processes together.

        ``losses`` are those since the sample before, ``norms`` of this process's gradients before
        and after clipping: parts of a whole where they are ``sharded``, else copies. ``scale`` is
        what the loss was multiplied by before the backward pass: gradients of outputs are divided
        by it again, those of weights were by whoever called the optimiser.
        """
        meters = (self.forward, self.backward, self.gradients)
        sums = np.concatenate([meter.sums for meter in meters])
        everyone = self._ranks.gathered([sums, _told(losses, norms)])
        if self.writer is None or everyone is None:
            return
        ends = np.cumsum([len(meter.sums) for meter in meters])
        divided = np.ones((len(sums), 1))
        divided[ends[0] : ends[1]] = scale
        whole = merged([parts[0] for parts in everyone]) if len(everyone) > 1 else sums
        values = np.split(quantities(whole, divided), ends[:-1])
        readings: dict[str, Reading] = dict(
            zip(
                READINGS,
                zip(values, np.split(whole[:, PLACES:], ends[:-1]), strict=True),
                strict=True,
            )
        )
        self.spectra.add_to(readings["forward"])
        told = np.concatenate([parts[-1] for parts in everyone])
        scalars = {**_scalars(told, sharded=sharded), "learning_rate": rate}
        self.writer.add_sample(Sample(step, scalars, readings))
        for sink in self._sinks:
            tell(sink, step, scalars, readings, self._names)

    def happened(self, step: int, kind: str, place: str, detail: str) -> None:
        """Keep an event."""
        if self.writer is not None:
            self.writer.add_event(Event(step, kind, place, detail))


def _told(losses: list[float], norms: tuple[float, float]) -> Sums:
    finite = [loss for loss in losses if math.isfinite(loss)]
    low, high = (min(finite), max(finite)) if finite else (math.inf, -math.inf)
    before, after = norms
    return np.array([[math.fsum(finite), len(finite), low, high, before**2, after**2]])


def _scalars(told: Sums, *, sharded: bool) -> Mapping[str, float]:
    """One process a row; the norm of copies is that of any of them."""
    count = told[:, _LOSSES].sum()
    squares = told[:, [_BEFORE, _AFTER]]
    before, after = np.sqrt(squares.sum(axis=0) if sharded else squares[0])
    return {
        "loss": told[:, _LOSS].sum() / count if count else math.nan,
        "loss_low": told[:, _LOW].min() if count else math.nan,
        "loss_high": told[:, _HIGH].max() if count else math.nan,
        "norm_before": float(before),
        "norm_after": float(after),
    }
