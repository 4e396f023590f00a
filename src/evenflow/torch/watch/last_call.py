"""The last batch, held until the next, so that the origin of a NaN can still be found."""

from __future__ import annotations

import math
from ctypes import c_float
from typing import Any

import torch
from torch import nn

from evenflow.torch.watch.autopsy import Cause, autopsy
from evenflow.torch.watch.layers import Weight
from evenflow.torch.watch.switch import Switch


class LastCall:
    """What the model was last called with in training, and whether its gradients are numbers.

    Only in the host's memory: on a device every look at a value would make it wait.
    """

    def __init__(self, model: nn.Module, weights: list[Weight]) -> None:
        self._model, self._weights = model, weights
        self._call: tuple[Any, Any] | None = None
        trainable = [w.parameter for w in weights if w.parameter.requires_grad]
        on_host = all(p.device.type == "cpu" and not hasattr(p, "to_local") for p in trainable)
        # A NaN in the loss reaches every gradient: two are looked at, one at either end.
        self._ends = [trainable[0], trainable[-1]] if trainable and on_host else []
        self.told: set[str] = set()

    def follow(self, switch: Switch) -> None:
        """Keep what the model is called with while ``switch`` is on."""
        switch.before(self._model, self._keep, keywords=True)

    def forget(self) -> None:
        """Let the batch go."""
        self._call = None

    def cause(self) -> Cause | None:
        """Where NaN or infinity began, if the gradients now hold any; told once."""
        if not any(map(_bad, self._ends)) or "cause" in self.told or self._call is None:
            return None
        self.told.add("cause")
        return autopsy(self._model, *self._call, self._weights)

    def _keep(self, _module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled():
            self._call = args, kwargs


def _bad(parameter: torch.Tensor) -> bool:
    """Whether a gradient begins with what is no number."""
    gradient = parameter.grad
    if gradient is None or gradient.layout is not torch.strided or not gradient.data_ptr():
        return False
    if gradient.dtype is torch.float32:  # by far the quickest way to see one element
        return not math.isfinite(c_float.from_address(gradient.data_ptr()).value)
    return not math.isfinite(gradient[(0,) * gradient.dim()].item())
