"""Weightless models: large parameters on the meta device, everything else as it is built.

A model for a checkpoint larger than memory needs names, shapes, buffers and the few values that a
plan leaves as found, and no room for its weights. Building it all on the meta device would lose
the buffers, and a factory need not know of any of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LIGHT = 1 << 16
"""Elements up to which a parameter keeps its values: norms, biases, layer scales."""


@contextmanager
def weightless() -> Iterator[None]:
    """Modules that are built inside have their larger parameters on the meta device.

    Each is allocated for a moment, untouched, and let go when it is registered, so memory never
    holds more than one. ``torch.nn.Module.register_parameter`` is replaced inside, as there is no
    other place that every parameter comes by.
    """
    register = torch.nn.Module.register_parameter

    def register_weightless(
        self: torch.nn.Module, name: str, param: torch.nn.Parameter | None
    ) -> None:
        register(self, name, _without_memory(param))

    torch.nn.Module.register_parameter = register_weightless  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register  # type: ignore[method-assign]


def _without_memory(parameter: torch.nn.Parameter | None) -> torch.nn.Parameter | None:
    if type(parameter) is not torch.nn.Parameter or parameter.is_meta:
        return parameter
    if parameter.numel() <= LIGHT:
        return parameter
    bare = torch.nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    bare.__dict__.update(parameter.__dict__)
    return bare
