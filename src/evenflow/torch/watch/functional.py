"""Activations that a model calls as functions, which no hook on a module sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_NAMES: dict[Callable[..., Any], str] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), "relu"),
    **dict.fromkeys((torch.Tensor.relu, torch.Tensor.relu_), "relu"),
    **dict.fromkeys((F.tanh, torch.tanh, torch.tanh_), "tanh"),
    **dict.fromkeys((torch.Tensor.tanh, torch.Tensor.tanh_), "tanh"),
    **dict.fromkeys((torch.sigmoid, torch.sigmoid_, F.sigmoid), "logistic"),
    **dict.fromkeys((torch.Tensor.sigmoid, torch.Tensor.sigmoid_), "logistic"),
    F.hardtanh: "hardtanh",
    F.hardsigmoid: "hardsigmoid",
    F.hardswish: "hardswish",
    F.relu6: "relu6",
    F.leaky_relu: "leaky_relu",
    F.elu: "elu",
    F.selu: "selu",
    F.celu: "celu",
    F.gelu: "gelu",
    F.silu: "silu",
    F.mish: "mish",
    F.softplus: "softplus",
    F.softsign: "softsign",
    F.logsigmoid: "logsigmoid",
}
"""Activation functions by their names in the catalogue, at their usual parameters."""

Before = Callable[[str, torch.Tensor], Any]
After = Callable[[Any, torch.Tensor], None]


class FunctionActivations(TorchFunctionMode):
    """While it is entered, tells of every activation that is called as a function.

    ``before`` is called with its name and input, before it may be overwritten, and gives a token
    (None to say no more); ``after`` with that token and the output.
    """

    def __init__(self, before: Before, after: After) -> None:
        super().__init__()
        self._before, self._after = before, after

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` as it is, and look at what goes in and comes out."""
        name = _NAMES.get(func)
        if name is None or not args or not isinstance(args[0], torch.Tensor):
            return func(*args, **(kwargs or {}))
        token = self._before(name, args[0])
        output = func(*args, **(kwargs or {}))
        if token is not None:
            self._after(token, output)
        return output
