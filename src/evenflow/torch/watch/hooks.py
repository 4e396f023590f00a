"""Hooks on the layers, in force during a sampled step alone.

Gradients with respect to outputs come by hooks on the tensors themselves: a module's own backward
hooks wrap its output in a view, which activations that write in place then may not touch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from evenflow.torch.watch.layers import Layer
from evenflow.torch.watch.meter import Meter

Guard = Callable[[Callable[..., None]], Callable[..., None]]
"""Wraps a hook so that whatever fails in it never reaches the training."""


class LayerHooks:
    """Watches the outputs of ``layers`` and the gradients that come back to them."""

    def __init__(
        self,
        layers: list[Layer],
        forward: Meter,
        backward: Meter,
        appeared: Callable[[Layer, torch.Tensor], None],
        guard: Guard,
    ) -> None:
        self._layers = layers
        self._forward, self._backward = forward, backward
        self._appeared = appeared
        self._handles: list[RemovableHandle] = []
        self._channels = False
        """Whether the last layer that knows had its channels along the second axis."""
        self.gradients = 0
        """Gradients seen at this step."""
        self._hooks = [
            (
                layer,
                guard(partial(self._before, layer)) if layer.tails else None,
                guard(partial(self._after, layer)),
            )
            for layer in layers
        ]
        self._guard = guard

    def arm(self) -> None:
        """Watch the step that begins."""
        self.gradients = 0
        for layer, before, after in self._hooks:
            layer.calls = 0
            if before is not None:
                self._handles.append(layer.module.register_forward_pre_hook(before))
            self._handles.append(layer.module.register_forward_hook(after))

    def disarm(self) -> None:
        """Leave the modules as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _before(self, layer: Layer, _module: nn.Module, args: tuple[Any, ...]) -> None:
        z = args[0] if args else None
        if not isinstance(z, torch.Tensor) or not z.is_floating_point() or not _counts(layer):
            return
        assert layer.tails is not None
        if layer.number < 0:
            self._appeared(layer, z)
        self._forward.add_tails(layer.number, z, layer.tails, self._channels_first(layer, z))

    def _after(self, layer: Layer, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        tensor = main_tensor(output)
        if tensor is None or not _counts(layer):
            return
        if not _in_backward():
            layer.calls += 1
        if layer.number < 0:
            self._appeared(layer, tensor)
        channels = self._channels_first(layer, tensor)
        self._forward.add_signal(layer.number, tensor, channels)
        if tensor.requires_grad:
            gradient = self._guard(partial(self._gradient, layer.number, channels))
            tensor.register_hook(gradient)  # type: ignore[no-untyped-call]

    def _gradient(self, number: int, channels: bool, gradient: torch.Tensor) -> None:
        self.gradients += 1
        self._backward.add_signal(number, gradient, channels)

    def _channels_first(self, layer: Layer, tensor: torch.Tensor) -> bool:
        told = layer.channels_first
        if told is not None:
            self._channels = told
        return self._channels and tensor.dim() > 2


def main_tensor(output: Any) -> torch.Tensor | None:
    """The floating-point tensor that a module's output is about: itself, or the first inside."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return next((found for part in output if (found := main_tensor(part)) is not None), None)
    return None


def _counts(layer: Layer) -> bool:
    """Whether a call belongs to the training: not an evaluation, and not an output that gradient
    checkpointing computes a second time.
    """
    return torch.is_grad_enabled() and not (_in_backward() and layer.calls)


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
