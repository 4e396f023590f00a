"""What the optimiser is given and does: gradients of weights, updates beside weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch.utils.hooks import RemovableHandle

from evenflow.record.run_kernels import keep, moved
from evenflow.record.run_layout import Layout, flat_layout, sampled
from evenflow.record.run_sums import UPDATE_SQUARES, WEIGHT_SQUARES, WEIGHTS
from evenflow.torch.watch.layers import Weight
from evenflow.torch.watch.meter import Array, Meter, Transfers, Use, lies_ready

_NOTED = 16
"""Gradient elements of a parameter that are noted before clipping."""
_NOTED_OF = 4
"""Parameters of which they are noted."""


class OptimiserReader:
    """Reads gradients just before a step of the optimiser, and weights before and after it."""

    def __init__(self, weights: Iterable[Weight], meter: Meter, transfers: Transfers) -> None:
        weights = list(weights)
        self._weights = {id(weight.parameter): weight for weight in _read(weights)}
        self._sharded = not all(weight.whole for weight in weights)
        self._meter = meter
        self._transfers = transfers
        self._given: set[int] = set()
        self._kept: dict[int, Array] = {}
        self._noted: dict[int, torch.Tensor] = {}
        self._norms: list[torch.Tensor] = []
        self._clipping: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.handles: list[RemovableHandle] = []

    def saw_gradients(self) -> bool:
        """Whether gradients were read at this step."""
        return bool(self._norms)

    def arm(self, *, note: bool) -> None:
        """Start a new step. ``note`` a few elements of gradients as they arrive, which tell later
        whether they were clipped; it needs gradients that are whole when they arrive.
        """
        self._given.clear()
        self._noted.clear()
        self._norms.clear()
        self._clipping.clear()
        if not note or self.handles:
            return
        trainable = [w for w in self._weights.values() if w.parameter.requires_grad]
        for weight in trainable[:: -(-len(trainable) // _NOTED_OF) or 1]:
            if weight.parameter.is_leaf:
                hook = weight.parameter.register_post_accumulate_grad_hook
                self.handles.append(hook(self._note))  # type: ignore[no-untyped-call]

    def disarm(self) -> None:
        """Leave the parameters as they were."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def before(self, parameters: Iterable[torch.Tensor]) -> None:
        """Read gradients and keep weights of the parameters that are about to be updated."""
        gradients = []
        for parameter in parameters:
            weight = self._weights.get(id(parameter))
            if parameter.grad is None:
                continue
            gradient = self._local(parameter.grad)
            gradients.append(gradient)
            if weight is None:
                continue
            self._meter.add_flat(weight.number, gradient)
            if id(parameter) in self._noted:
                now = gradient.detach().reshape(-1)[:_NOTED].clone()
                self._clipping.append((self._noted[id(parameter)], now))
            self._keep(weight, self._local(parameter))
        if gradients:
            self._norms.append(torch.nn.utils.get_total_norm(gradients))

    def after(self, parameters: Iterable[torch.Tensor]) -> None:
        """Compare the weights with what they were before the step."""
        for parameter in parameters:
            weight = self._weights.get(id(parameter))
            if weight is not None and weight.number in self._given:
                self._compare(weight, self._local(parameter))

    def norms(self, scale: float) -> tuple[float, float]:
        """Norm of all gradients before and after clipping; NaN where it is not known.

        ``scale`` is what the loss was multiplied by before the backward pass.
        """
        if not self._norms:
            return math.nan, math.nan
        after = math.sqrt(sum(float(norm) ** 2 for norm in self._norms))
        if not self._clipping:
            return math.nan, after
        noted = torch.cat([before for before, _ in self._clipping]).double().norm() / scale
        now = torch.cat([later for _, later in self._clipping]).double().norm()
        factor = float(now / noted) if float(noted) > 0 else 1.0
        # Within rounding of 1, and anything above, is no clipping.
        return (after / factor if 0 < factor < 0.999 else after), after

    def _local(self, tensor: torch.Tensor) -> torch.Tensor:
        """This process's part of a parameter or its gradient."""
        to_local = getattr(tensor, "to_local", None) if self._sharded else None
        return to_local() if to_local is not None else tensor

    def _note(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self._noted[id(parameter)] = parameter.grad.detach().reshape(-1)[:_NOTED].clone()

    def _keep(self, weight: Weight, values: torch.Tensor) -> None:
        def use(array: Array, at: Layout) -> None:
            kept = self._kept.get(weight.number)
            if kept is None or kept.dtype != array.dtype:
                kept = self._kept[weight.number] = np.empty(sampled(at), array.dtype)
            row = self._meter.sums[weight.number]
            row[WEIGHT_SQUARES] += keep(array, at, kept)
            row[WEIGHTS] += kept.size

        self._given.add(weight.number)
        self._sample(values, use)

    def _compare(self, weight: Weight, values: torch.Tensor) -> None:
        def use(array: Array, at: Layout) -> None:
            row = self._meter.sums[weight.number]
            row[UPDATE_SQUARES] += moved(array, at, self._kept[weight.number], row)

        self._sample(values, use)

    def _sample(self, values: torch.Tensor, use: Use) -> None:
        if not values.numel():
            return
        layout = flat_layout(values.numel())
        if lies_ready(values):
            use(values.detach().view(-1).numpy(), layout)
        else:
            self._transfers.sample(values.detach().contiguous(), layout, use)


def _read(weights: list[Weight]) -> list[Weight]:
    """Matrices and kernels; of a network without any, all that there is.

    Biases and scales are a thousandth of the elements, and would double the cost.
    """
    return [weight for weight in weights if weight.parameter.dim() > 1] or weights
