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

from evenflow.record.run_kernels import tails, tally
from evenflow.record.run_layout import Layout, compact, flat_layout, signal_layout
from evenflow.record.run_sums import DEAD, LOOKED, SATURATED, UNITS, empty_sums
from evenflow.torch.watch.activations import Tails

Array = NDArray[np.floating[Any]]
Use = Callable[[Array, Layout], None]
"""What is done with a flat array and the layout that names the sample in it."""
_ROOM = 2**12
_NUMPY = frozenset({torch.float32, torch.float64})
"""Types that NumPy reads where they lie."""


class Transfers:
    """Samples that wait on a device until the step is over."""

    def __init__(self) -> None:
        self._waiting: list[tuple[torch.Tensor, Layout, Use]] = []

    def sample(self, x: torch.Tensor, layout: Layout, use: Use) -> None:
        """Call ``use`` with the values of a contiguous ``x``: now, or after ``fetch``."""
        if lies_ready(x):
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
        self._rooms: dict[np.dtype[Any], _Room] = {}

    def grow(self, tensors: int) -> None:
        """Make sure that there are rows for so many tensors."""
        more = tensors - len(self.sums)
        if more > 0:
            self.sums = np.concatenate([self.sums, empty_sums(more)])

    def clear(self) -> None:
        """Start a new step."""
        self.sums = empty_sums(len(self.sums))

    def add_signal(self, number: int, tensor: torch.Tensor, channels_first: bool) -> None:
        """Add a layer's output, or the gradient with respect to it."""
        if not tensor.numel():
            return
        if lies_ready(tensor):
            values = tensor.detach().view(-1).numpy()
            self._tally(number, values, signal_layout(tensor.shape, channels_first))
        else:
            x, layout = signal(tensor, channels_first)
            self._transfers.sample(x, layout, lambda a, at: self._tally(number, a, at))

    def add_flat(self, number: int, tensor: torch.Tensor) -> None:
        """Add a parameter's gradient."""
        if not tensor.numel():
            return
        layout = flat_layout(tensor.numel())
        if lies_ready(tensor):
            self._tally(number, tensor.detach().view(-1).numpy(), layout)
        else:
            x = tensor.detach().contiguous()
            self._transfers.sample(x, layout, lambda a, at: self._tally(number, a, at))

    def add_tails(self, number: int, z: torch.Tensor, curve: Tails, channels_first: bool) -> None:
        """Add how much of an activation's input lies in its tails."""
        if z.numel():
            x, layout = signal(z, channels_first)
            self._transfers.sample(x, layout, lambda a, at: self._tails(number, curve, a, at))

    def _tally(self, number: int, x: Array, layout: Layout) -> None:
        room = self._room(x, layout)
        tally(x, layout, room.values, room.found, self.sums[number])

    def _tails(self, number: int, curve: Tails, x: Array, layout: Layout) -> None:
        room, row = self._room(x, layout), self.sums[number]
        looked, inside, units, dead = tails(x, layout, curve.saturated, curve.alive, room.living)
        if curve.saturates:
            row[LOOKED] += looked
            row[SATURATED] += inside
        if curve.dies:
            row[UNITS] += units
            row[DEAD] += dead

    def _room(self, x: Array, layout: Layout) -> _Room:
        room = self._rooms.get(x.dtype)
        width = int(layout[3] * layout[5])
        if room is None or len(room.found) < width:
            room = self._rooms[x.dtype] = _Room(max(width, _ROOM), x.dtype)
        return room


class _Room:
    """Room for the kernels to work in."""

    def __init__(self, width: int, dtype: np.dtype[Any]) -> None:
        self.values = np.zeros(3 * width, dtype)
        self.found = np.zeros(width, np.int32)
        self.living = np.zeros(width, np.bool_)


def lies_ready(tensor: torch.Tensor) -> bool:
    """Whether NumPy can read the tensor where it lies, one element behind the other."""
    return tensor.is_cpu and tensor.dtype in _NUMPY and tensor.is_contiguous()


def signal(tensor: torch.Tensor, channels_first: bool) -> tuple[torch.Tensor, Layout]:
    """A contiguous tensor, examples first, and the layout of its sample."""
    x = tensor.detach()
    if channels_first and x.dim() == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)  # channels last in memory, as they may well be
        channels_first = False
    x = x.contiguous()
    return x, signal_layout(x.shape, channels_first)
