"""How a model is called: a tensor, a tuple (positional) or a mapping (keywords)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from evenflow.errors import InputError
from evenflow.torch.preserve import preserved


@dataclass(frozen=True)
class Call:
    """Positional and keyword arguments of one call of the model."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Any) -> Call:
        """Read what a user passed as ``inputs``."""
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, torch.Tensor):
            return cls((inputs,), {})
        if isinstance(inputs, Mapping):
            return cls((), dict(inputs))
        if isinstance(inputs, (tuple, list)):
            return cls(tuple(inputs), {})
        raise InputError(
            f"inputs must be a tensor, a tuple or a mapping, not {type(inputs).__name__}",
            remedy="pass a tensor, a tuple of positional arguments, or a dict of keyword arguments",
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor in the call, named by its place: "0", "1", "mask" …"""
        leaves = pytree.tree_flatten_with_path((self.args, dict(self.kwargs)))[0]
        named = {}
        for path, leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                named[pytree.keystr(path[1:]).strip("[]'").replace("']['", ".")] = leaf
        return named

    def require_values(self) -> None:
        """Raise ``InputError`` for an empty batch or one that holds NaN.

        Infinite values pass: a mask may be made of them.
        """
        for name, tensor in self.tensors().items():
            if tensor.numel() == 0:
                raise InputError("the batch is empty", where=f"input {name}")
            if tensor.is_meta or not tensor.is_floating_point():
                continue
            if bad := int(tensor.isnan().sum()):
                raise InputError(
                    f"{bad} of {tensor.numel()} values of input {name} "
                    f"{'is' if bad == 1 else 'are'} NaN",
                    remedy="clean the data first",
                )

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Call:
        """The same call with every tensor replaced."""
        args, kwargs = pytree.tree_map_only(torch.Tensor, change, (self.args, dict(self.kwargs)))
        return Call(args, kwargs)

    def on_device_of(self, model: torch.nn.Module) -> Call:
        """The same call for tracing: only shapes and types count, so tensors that are on the meta
        device while the model is not, or the other way round, are replaced by empty ones.
        """
        device = next((p.device for p in model.parameters()), torch.device("cpu"))

        def move(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.is_meta == (device.type == "meta"):
                return tensor
            return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)

        return self.map(move)

    def run(self, model: torch.nn.Module) -> Any:
        """One call without gradients; a failure is told as a fault of the inputs."""
        try:
            with torch.no_grad(), preserved(model):
                return model(*self.args, **self.kwargs)
        except Exception as error:
            shapes = {name: tuple(t.shape) for name, t in self.tensors().items()}
            dtypes = {str(t.dtype).removeprefix("torch.") for t in self.tensors().values()}
            raise InputError(
                f"the model cannot be called with inputs of shape {shapes} and type "
                f"{', '.join(sorted(dtypes))}: {type(error).__name__}: "
                f"{str(error).strip().splitlines()[0] if str(error).strip() else ''}",
                where=type(model).__name__,
                remedy="pass inputs as the model's forward expects them (shape, dtype, device, "
                "number of arguments)",
            ) from error
