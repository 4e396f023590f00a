"""What is measured at wider intervals: effective ranks, layer Jacobians, percentiles of all values.

They cost more than the rest of a sample together; where they are ``due`` they do not show.
"""

from __future__ import annotations

import math

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


def due(sample: int) -> bool:
    """Whether ranks and percentiles are measured at this sample, counted from 0."""
    return sample % 100 == 0 or sample == 10


def jacobians_due(sample: int) -> bool:
    """Whether Jacobians are: they cost ten times as much."""
    return sample % 1000 == 0


_JACOBIAN_LIMIT = 512
"""Largest matrix whose singular values are taken."""


class Spectra:
    """Spectra of the outputs of one step, where it is one that measures them."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._found: dict[tuple[int, str], float] = {}
        self._linear: tuple[nn.Linear, torch.Tensor] | None = None
        """The last linear layer, and its output for one example."""
        self.wanted = self._jacobians = False

    def arm(self, sample: int) -> None:
        """Start the step of a sample, counted from 0."""
        self._found.clear()
        self._linear = None
        self.wanted, self._jacobians = due(sample), jacobians_due(sample)

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
        if self._jacobians:
            self._jacobian(layer, tensor)

    def _jacobian(self, layer: Layer, tensor: torch.Tensor) -> None:
        """Mean singular value of what a linear layer and the activation after it do together."""
        if isinstance(layer.module, nn.Linear) and tensor.dim() == 2:
            self._linear = layer.module, tensor[0].detach().clone()
            return
        before, self._linear = self._linear, None
        if before is None or not layer.activation:
            return
        weight, z = before[0].weight, before[1].double().cpu().numpy()
        if hasattr(weight, "to_local") or max(weight.shape) > _JACOBIAN_LIMIT:
            return
        matrix = weight.detach().double().cpu().numpy()
        if np.isfinite(z).all() and np.isfinite(matrix).all():
            slope = find(layer.activation).derivative(z)
            self._found[layer.number, "singular_value"] = mean_singular_value(matrix, slope)

    def add_to(self, reading: Reading) -> None:
        """Put what was found in its place among the quantities of the outputs."""
        values, _ = reading
        for (number, name), value in self._found.items():
            if math.isfinite(value):
                values[number, QUANTITIES.index(name)] = value


def _rows(values: Array, layout: Layout) -> Array:
    """The sample with one example a row."""
    start, examples, example_pitch, groups, group_pitch, run = layout[:6].tolist()
    flat = values[start:]
    size = values.itemsize
    view = np.lib.stride_tricks.as_strided(
        flat, (examples, groups, run), (example_pitch * size, group_pitch * size, size)
    )
    return view.reshape(examples, sampled(layout) // examples)
