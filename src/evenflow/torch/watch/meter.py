"""Meter: adds up tensors of one kind (outputs, their gradients, weights' gradients) in one step.

A tensor in the host's memory is summed at once, where it lies. Of one on a device the sample is
copied there, and all samples of a step are fetched in one transfer when the step is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evenflow.record.run_kernels import (
    NO_EDGES,
    Edges,
    gradient_at,
    reset,
    signal_at,
    tails_at,
    whole_at,
)
from evenflow.record.run_layout import Layout, compact, flat_layout, signal_layout
from evenflow.record.run_sums import empty_sums

Array = NDArray[np.floating[Any]]
Use = Callable[[Array, Layout], None]
"""What is done with a flat array and the layout that names the sample in it."""
Kernel = Callable[[int, bool, Layout, Edges, Any, int], None]
"""One of those that ``record.run_kernels`` has for addresses."""
_PLAIN = frozenset({torch.float32, torch.float64})
"""Types that are read where they lie."""


class Transfers:
    """Samples that wait on a device until the step is over."""

    def __init__(self) -> None:
        self._waiting: list[tuple[torch.Tensor, Layout, Use]] = []

    def sample(self, x: torch.Tensor, layout: Layout, use: Use) -> None:
        """Call ``use`` with the values of a contiguous ``x``: now, or after ``fetch``."""
        if address_of(x):
            use(x.view(-1).numpy(), layout)
            return
        start, examples, example_pitch, groups, group_pitch, run = layout[:6].tolist()
        size, pitch = (examples, groups, run), (example_pitch, group_pitch, 1)
        strided = x.as_strided(size, pitch, x.storage_offset() + start)
        part = strided.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if x.is_cpu:
            use(part.numpy().reshape(-1), compact(layout))
        else:
            self._waiting.append((part.reshape(-1), compact(layout), use))

    def fetch(self) -> None:
        """Bring all that waits to the host in one transfer, and use it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        lengths = [len(part) for part, _, _ in waiting]
        values = torch.cat([part for part, _, _ in waiting]).cpu().numpy()
        parts = np.split(values, np.cumsum(lengths)[:-1])
        for part, (_, layout, use) in zip(parts, waiting, strict=True):
            use(part, layout)


class Meter:
    """Rows of sums, one a tensor."""

    def __init__(self, transfers: Transfers) -> None:
        self.sums = empty_sums(0)
        self._transfers = transfers

    def grow(self, tensors: int) -> None:
        """Make sure that there are rows for so many tensors."""
        more = tensors - len(self.sums)
        if more > 0:
            self.sums = np.concatenate([self.sums, empty_sums(more)])

    def clear(self) -> None:
        """Start a new step."""
        reset(self.sums)

    def add_signal(
        self, number: int, tensor: torch.Tensor, channels_first: bool, edges: Edges = NO_EDGES
    ) -> None:
        """Add a layer's output, with its ``edges`` (see ``add_tails``), or a gradient of one."""
        if not tensor.numel():
            return
        address = address_of(tensor)
        if address:
            layout = signal_layout(tensor.shape, channels_first)
            wide = tensor.dtype is torch.float64
            signal_at(address, wide, layout, edges, self.sums, number)
        else:
            x, layout = signal(tensor, channels_first)
            self._sample(x, layout, signal_at, edges, number)

    def add_tails(self, number: int, z: torch.Tensor, edges: Edges, channels_first: bool) -> None:
        """Add how much of an activation's input lies beyond ``edges`` (``run_kernels.tails``)."""
        if z.numel():
            x, layout = signal(z, channels_first)
            self._sample(x, layout, tails_at, edges, number)

    def add_gradient(self, number: int, tensor: torch.Tensor, *, whole: bool) -> bool:
        """Add a parameter's gradient, or where the ``whole`` of it is enough its square alone.

        False where that square could not be had, because the tensor does not lie in the host's
        memory or has another type than kernels read.
        """
        size = tensor.numel()
        if not size:
            return True
        address, wide = address_of(tensor), tensor.dtype is torch.float64
        if not address and not whole:
            x = tensor.detach().contiguous()
            self._sample(x, flat_layout(size), signal_at, NO_EDGES, number)
        elif whole and address:
            whole_at(address, wide, size, self.sums, number)
        elif address:
            gradient_at(address, wide, flat_layout(size), self.sums, number)
        return bool(address)

    def _sample(
        self, x: torch.Tensor, layout: Layout, kernel: Kernel, edges: Edges, number: int
    ) -> None:
        def use(values: Array, at: Layout) -> None:
            wide = values.dtype == np.float64
            kernel(values.ctypes.data, wide, at, edges, self.sums, number)

        self._transfers.sample(x, layout, use)


def address_of(tensor: torch.Tensor) -> int:
    """Where the elements lie one behind the other, if they do so in the host's memory and are
    float32 or float64; else 0.
    """
    plain = tensor.is_cpu and tensor.dtype in _PLAIN and tensor.is_contiguous()
    return tensor.data_ptr() if plain and not tensor.is_neg() else 0


def signal(tensor: torch.Tensor, channels_first: bool) -> tuple[torch.Tensor, Layout]:
    """A contiguous tensor, examples first, and the layout of its sample."""
    x = tensor.detach()
    if channels_first and x.dim() == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)  # channels last in memory, as they may well be
        channels_first = False
    x = x.contiguous()
    return x, signal_layout(x.shape, channels_first)
