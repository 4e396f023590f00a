"""What the optimiser is given and does: gradients of weights, updates beside weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evenflow.record.run_kernels import whole_at, whole_of
from evenflow.record.run_layout import PARAMETERS, Layout, flat_layout
from evenflow.record.run_sums import WHOLE, Sums, empty_sums
from evenflow.record.update_kernels import keep_at, moved_at
from evenflow.torch.watch.layers import Weight
from evenflow.torch.watch.meter import Array, Meter, Transfers, address_of

Kernel = Callable[[int, bool, Layout, int, Sums, int], None]
"""One of ``record.update_kernels``."""
Number = float | torch.Tensor
_NOTED = 64
"""Gradient elements of a parameter that are noted before clipping."""


class Norms(NamedTuple):
    """Squares of this process's gradients as the optimiser was given them, and of a few of their
    elements then and before clipping; NaN where they were not seen.
    """

    after: float
    now: float
    noted: float


class OptimiserReader:
    """Reads gradients just before a step of the optimiser, and weights before and after it."""

    def __init__(self, weights: Iterable[Weight], meter: Meter, transfers: Transfers) -> None:
        weights = list(weights)
        self._weights = {id(weight.parameter): weight for weight in weights}
        self._sharded = not all(weight.whole for weight in weights)
        self._meter = meter
        self._transfers = transfers
        self._given: set[int] = set()
        self._rooms: dict[int, tuple[int, NDArray[np.float64]]] = {}
        read = _read(weights)
        self._read = {weight.number for weight in read}
        trainable = [w.parameter for w in read if w.parameter.requires_grad]
        self._few = [trainable[len(trainable) // 2], trainable[-1]] if trainable else []
        self._noted: dict[int, Number] = {}
        self._now: dict[int, Number] = {}
        self._elsewhere: list[torch.Tensor] = []
        """Norms of gradients that no kernel reads."""
        self._one = empty_sums(1)
        self._saw = False

    def saw_gradients(self) -> bool:
        """Whether gradients were read at this step."""
        return self._saw

    def clear(self) -> None:
        """Start a new step."""
        self._saw = False
        for each in (self._given, self._noted, self._now, self._elsewhere):
            each.clear()

    def note(self) -> None:
        """Note a few elements of the gradients as they are after a backward pass.

        Beside the same when the optimiser is given them they tell whether gradients were clipped.
        """
        for parameter in self._few:
            if parameter.grad is not None:
                self._noted[id(parameter)] = self._few_of(_dense(self._local(parameter.grad)))

    def before(self, parameters: Iterable[torch.Tensor]) -> None:
        """Read gradients and keep weights of the parameters that are about to be updated."""
        elsewhere = []
        for parameter in parameters:
            weight, gradient = self._weights.get(id(parameter)), parameter.grad
            if weight is None or gradient is None:
                continue
            self._saw = True
            gradient, read = _dense(self._local(gradient)), weight.number in self._read
            if not self._meter.add_gradient(weight.number, gradient, whole=not read):
                elsewhere.append(gradient)
            if id(parameter) in self._noted:
                self._now[id(parameter)] = self._few_of(gradient)
            if read:
                self._given.add(weight.number)
                self._sample(weight, self._local(parameter), keep_at)
        if elsewhere:
            self._elsewhere.append(torch.nn.utils.get_total_norm(elsewhere).square())

    def after(self, parameters: Iterable[torch.Tensor]) -> None:
        """Compare the weights with what they were before the step."""
        for parameter in parameters:
            weight = self._weights.get(id(parameter))
            if weight is not None and weight.number in self._given:
                self._sample(weight, self._local(parameter), moved_at)

    def norms(self, scale: float) -> Norms:
        """What is known of the norms of this process's gradients.

        ``scale`` is what the loss was multiplied by before the backward pass.
        """
        if not self._saw:
            return Norms(math.nan, math.nan, math.nan)
        after = whole_of(self._meter.sums) + _total(self._elsewhere)
        if not self._now:
            return Norms(after, math.nan, math.nan)
        noted = _total([self._noted[key] for key in self._now])
        return Norms(after, _total(self._now.values()), noted / scale**2)

    def _local(self, tensor: torch.Tensor) -> torch.Tensor:
        """This process's part of a parameter or its gradient."""
        if self._sharded and hasattr(tensor, "to_local"):
            return tensor.to_local()  # type: ignore[no-any-return]
        return tensor

    def _few_of(self, gradient: torch.Tensor) -> Number:
        """Σx² of its first elements; a tensor where it has to be fetched from a device."""
        address, few = address_of(gradient), min(_NOTED, gradient.numel())
        if not address:
            return gradient.detach().reshape(-1)[:few].double().square().sum()
        self._one[0, WHOLE] = 0.0
        whole_at(address, gradient.dtype is torch.float64, few, self._one, 0)
        return float(self._one[0, WHOLE])

    def _sample(self, weight: Weight, values: torch.Tensor, kernel: Kernel) -> None:
        """Let ``kernel`` loose on a weight and on the room where its sample is kept."""
        size, number, sums, address = (
            values.numel(),
            weight.number,
            self._meter.sums,
            address_of(values),
        )
        if not size:
            return
        layout, room = flat_layout(size), self._room(number)
        if address:
            kernel(address, values.dtype is torch.float64, layout, room, sums, number)
            return

        def use(array: Array, at: Layout) -> None:
            kernel(array.ctypes.data, array.dtype == np.float64, at, room, sums, number)

        self._transfers.sample(values.detach().contiguous(), layout, use)

    def _room(self, number: int) -> int:
        """Address of room for a weight's sample."""
        if number not in self._rooms:
            room = np.empty(PARAMETERS)
            self._rooms[number] = room.ctypes.data, room
        return self._rooms[number][0]


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient's elements; of a sparse one those that are there."""
    return gradient if gradient.layout == torch.strided else gradient.coalesce().values()


def _total(parts: Iterable[Number]) -> float:
    """The sum, with one transfer at most."""
    parts = list(parts)
    waiting = [part for part in parts if isinstance(part, torch.Tensor)]
    there = math.fsum(part for part in parts if not isinstance(part, torch.Tensor))
    return there + (float(torch.stack(waiting).double().sum()) if waiting else 0.0)


def _read(weights: list[Weight]) -> list[Weight]:
    """Matrices and kernels; of a network without any, all that there is.

    Biases and scales are a thousandth of the elements, and would double the cost.
    """
    return [weight for weight in weights if weight.parameter.dim() > 1] or weights
