"""What is measured at wider intervals: effective ranks, layer Jacobians, percentiles of all values.

They cost more than the rest of a sample together; where they are ``due`` they do not show.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from evenflow.record.jacobian import mean_singular_value
from evenflow.record.run_layout import Layout, sampled
from evenflow.record.run_spectra import effective_rank, fine_percentiles
from evenflow.record.run_sums import QUANTITIES
from evenflow.record.run_writer import Reading
from evenflow.theory.activations import find
from evenflow.torch.watch.layers import Layer
from evenflow.torch.watch.meter import Array, Transfers, signal

_EVERY = 2**7
"""Samples from one to the next; a power of two, so that thinning keeps them longest."""
_EARLY = 2**4
"""One sample more, where much has changed since the start."""
_JACOBIAN_LIMIT = 512
"""Largest matrix whose singular values are taken."""


def due(sample: int) -> bool:
    """Whether spectra are measured at this sample, counted from 0."""
    return sample % _EVERY == 0 or sample == _EARLY


class Spectra:
    """Spectra of the outputs of one step, where it is one that measures them."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._found: dict[tuple[int, str], float] = {}
        self._linear: tuple[nn.Linear, torch.Tensor] | None = None
        """The last linear layer, and its output for one example."""
        self._all: list[nn.Linear] = []
        self._chosen: nn.Linear | None = None
        """The layer whose Jacobian is taken: it costs as much as all ranks together."""
        self.wanted = False

    def know(self, layers: Iterable[Layer]) -> None:
        """The layers that there are, of which one is chosen each time."""
        modules = (layer.module for layer in layers)
        self._all = [m for m in modules if isinstance(m, nn.Linear) and _is_small(m.weight)]

    def arm(self, sample: int) -> None:
        """Start the step of a sample, counted from 0."""
        self._found.clear()
        self._linear = None
        self.wanted = due(sample)
        if self.wanted:  # by chance, so that no layer is left out for ever; the same in each run
            self._chosen = random.Random(sample).choice(self._all) if self._all else None

    def output(self, layer: Layer, tensor: torch.Tensor, channels_first: bool) -> None:
        """Effective rank and percentiles of a layer's output; the layer's Jacobian."""
        if tensor.dim() < 2 or not tensor.numel():
            return

        def use(values: Array, layout: Layout) -> None:
            rows = _rows(values, layout)
            self._found[layer.number, "effective_rank"] = effective_rank(rows)
            low, high = fine_percentiles(values)
            self._found[layer.number, "percentile_2"] = low
            self._found[layer.number, "percentile_98"] = high

        x, layout = signal(tensor, channels_first)
        self._transfers.sample(x, layout, use)
        self._jacobian(layer, tensor)

    def _jacobian(self, layer: Layer, tensor: torch.Tensor) -> None:
        """Mean singular value of what a linear layer and the activation after it do together."""
        if self._chosen is not None and layer.module is self._chosen:
            if tensor.dim() == 2:
                self._linear = self._chosen, tensor[0].detach().clone()
            return
        before, self._linear = self._linear, None
        if before is None or not layer.activation:
            return
        weight, z = before[0].weight.detach(), before[1].double().cpu().numpy()
        matrix = weight.double().cpu().numpy()
        if np.isfinite(z).all() and np.isfinite(matrix).all():
            slope = find(layer.activation).derivative(z)
            self._found[layer.number, "singular_value"] = mean_singular_value(matrix, slope)

    def add_to(self, reading: Reading) -> None:
        """Put what was found in its place among the quantities of the outputs."""
        values, _ = reading
        for (number, name), value in self._found.items():
            if math.isfinite(value):
                values[number, QUANTITIES.index(name)] = value


def _is_small(weight: torch.Tensor) -> bool:
    """Whether this process has all of it, and its singular values cost little."""
    return not hasattr(weight, "to_local") and max(weight.shape) <= _JACOBIAN_LIMIT


def _rows(values: Array, layout: Layout) -> Array:
    """The sample with one example a row."""
    start, examples, example_pitch, groups, group_pitch, run = layout[:6].tolist()
    flat = values[start:]
    size = values.itemsize
    view = np.lib.stride_tricks.as_strided(
        flat, (examples, groups, run), (example_pitch * size, group_pitch * size, size)
    )
    return view.reshape(examples, sampled(layout) // examples)
