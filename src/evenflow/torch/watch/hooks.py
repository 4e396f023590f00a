"""Hooks on the layers, in force during a sampled step alone.

Gradients with respect to outputs come by hooks on the tensors themselves: a module's own backward
hooks wrap its output in a view, which activations that write in place then may not touch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from evenflow.record.run_kernels import NO_EDGES
from evenflow.torch.watch.functional import FunctionActivations
from evenflow.torch.watch.layers import Layer, function_layer, input_layer, layers_of
from evenflow.torch.watch.recorder import Recorder
from evenflow.torch.watch.switch import Switch

_LOOKS = 3
"""Passes in which activations called as functions are looked for, where none are found."""


class LayerHooks:
    """Watches outputs of layers, and the gradients that come back to them.

    ``passed`` is called when gradients have arrived at all parameters. Whatever fails in a hook
    goes to ``failed``, and never reaches the training.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        passed: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._model, self._recorder, self._failed = model, recorder, failed
        self._passed = self._safely(passed)
        self._passes: set[int] = set()
        """Backward passes of this step, by the engine's own numbers."""
        self._forward, self._backward = recorder.forward, recorder.backward
        self._layers = layers_of(model)
        recorder.spectra.know(self._layers)
        self._switch: Switch | None = None
        self._functions: dict[str, Layer] = {}
        self._looks, self._listens = _LOOKS, True
        self._modes: list[FunctionActivations] = []
        self._named: Counter[str] = Counter()
        self._input = input_layer()
        self._last: Layer | None = None
        self._inside = False
        """Whether an activation module is running, which calls its function itself."""
        self._channels = False
        """Whether the last layer that knows had its channels along the second axis."""
        self.gradients = 0
        """Gradients of outputs seen at this step."""

    def expect(self, second_moments: Mapping[str, float]) -> None:
        """What is derived of the outputs of layers that are still to run for the first time."""
        for layer in self._layers:
            layer.expected = second_moments.get(layer.name)

    def arm(self) -> None:
        """Watch the step that begins."""
        self.gradients = 0
        self._passes.clear()
        for layer in (*self._layers, *self._functions.values(), self._input):
            layer.calls = 0
        listens = bool(self._functions) or self._looks > 0
        if self._switch is None or listens != self._listens:
            self.remove()
            self._listens = listens
            self._switch = self._hooked()
        self._switch.on()

    def disarm(self) -> None:
        """Watch no longer, until the next ``arm``."""
        self._leave()
        if self._switch is not None:
            self._switch.off()

    def remove(self) -> None:
        """Leave the modules as they were."""
        self._leave()
        if self._switch is not None:
            self._switch.remove()
            self._switch = None

    def _hooked(self) -> Switch:
        switch = Switch()
        switch.before(self._model, self._safely(self._enter))
        for layer in self._layers:
            assert layer.module is not None
            by_input = layer.tails is not None and not layer.tails.of_output
            if by_input or (layer.activation and self._listens):
                switch.before(layer.module, self._safely(partial(self._before_module, layer)))
            switch.after(layer.module, self._safely(partial(self._after_module, layer)))
        # Whatever the forward pass raises, the mode must not outlive it.
        switch.after(self._model, self._safely(self._leave), always=True)
        return switch

    def _safely(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def safe(*args: Any) -> Any:
            try:
                if not self._modes:
                    return hook(*args)
                # What we call ourselves is no function of the model.
                with torch._C.DisableTorchFunction():
                    return hook(*args)
            except Exception as error:
                self._failed(error)

        return safe

    def _enter(self, _model: nn.Module, args: tuple[Any, ...]) -> None:
        self._named.clear()
        self._inside, self._channels, self._last = False, False, None
        given = main_tensor(args)
        if given is not None and _counts(self._input):
            self._channels = given.dim() > 3
            self._output(self._input, given.detach())
        if torch.is_grad_enabled() and self._listens:
            self._looks = max(0, self._looks - 1)
            before, after = self._safely(self._before_function), self._safely(self._output)
            self._modes.append(FunctionActivations(before, after))
            self._modes[-1].__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, *_: Any) -> None:
        while self._modes:
            self._modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _before_module(self, layer: Layer, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self._inside = True
        if args and isinstance(args[0], torch.Tensor) and _counts(layer):
            self._pre_activation(layer, args[0])

    def _after_module(
        self, layer: Layer, _module: nn.Module, _args: tuple[Any, ...], output: Any
    ) -> None:
        if layer.activation:
            self._inside = False
        tensor = main_tensor(output)
        if tensor is not None and torch.is_grad_enabled():
            self._output(layer, tensor)

    def _before_function(self, activation: str, z: torch.Tensor) -> Layer | None:
        if self._inside or not torch.is_grad_enabled() or not z.is_floating_point():
            return None
        place = f"{self._last.name} → {activation}" if self._last is not None else activation
        self._named[place] += 1
        name = place if self._named[place] == 1 else f"{place} {self._named[place]}"
        layer = self._functions.setdefault(name, function_layer(name, activation))
        if not _counts(layer):
            return None
        self._pre_activation(layer, z)
        return layer

    def _pre_activation(self, layer: Layer, z: torch.Tensor) -> None:
        if not z.is_floating_point():
            return
        if layer.number < 0:
            self._recorder.appeared(layer, z)
        if layer.tails is not None and not layer.tails.of_output:
            channels = self._channels_first(layer, z)
            self._forward.add_tails(layer.number, z, layer.tails.edges, channels)

    def _output(self, layer: Layer, tensor: torch.Tensor) -> None:
        in_backward = torch._C._current_graph_task_id() != -1
        if layer.calls and in_backward:
            return
        if not in_backward:
            layer.calls = 1
        if layer.number < 0:
            self._recorder.appeared(layer, tensor)
        number, tails, channels = layer.number, layer.tails, self._channels_first(layer, tensor)
        edges = tails.edges if tails is not None and tails.of_output else NO_EDGES
        self._forward.add_signal(number, tensor, channels, edges)
        spectra = self._recorder.spectra
        if spectra.wanted:
            spectra.output(layer, tensor, channels)
        if layer.module is not None and not layer.activation:
            self._last = layer
        elif layer.activation and self._last is not None:
            return  # the gradient with respect to what it is given is measured there
        if tensor.requires_grad:

            def gradient(g: torch.Tensor) -> None:
                try:
                    self.gradients += 1
                    if torch._C._current_graph_task_id() not in self._passes:
                        self._tell_when_passed()
                    self._backward.add_signal(number, g, channels)
                except Exception as error:
                    self._failed(error)

            tensor.register_hook(gradient)  # type: ignore[no-untyped-call]

    def _tell_when_passed(self) -> None:
        """Call ``passed`` when this backward pass is over, and other processes' gradients are in.

        Those who exchange gradients finish in callbacks of the engine too. One that is only put in
        line by another comes after theirs.
        """
        self._passes.add(torch._C._current_graph_task_id())
        put_in_line = torch.autograd.Variable._execution_engine.queue_callback
        put_in_line(partial(put_in_line, self._passed))

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
    return torch.is_grad_enabled() and not (layer.calls and _in_backward())


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
