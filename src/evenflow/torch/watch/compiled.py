"""Models under torch.compile: a sampled step runs them eagerly, so that no graph is broken.

Hooks inside a compiled graph would break it, or make it be compiled anew. What a sampled step
costs is the speed that compiling gains; its numbers are those of the eager model.
"""

from __future__ import annotations

import torch
from torch import nn


def is_compiled(model: nn.Module) -> bool:
    """Whether ``model`` as it was given, or anything in it, runs compiled."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


class Eager:
    """While it is on, compiled code runs as it was written."""

    def __init__(self, *, needed: bool) -> None:
        self._needed = needed
        self._stance: object | None = None

    def on(self) -> None:
        """From now on."""
        if self._needed and self._stance is None:
            self._stance = torch.compiler.set_stance("force_eager")

    def off(self) -> None:
        """As it was before."""
        if self._stance is not None:
            self._stance.__exit__(None, None, None)  # type: ignore[attr-defined]
            self._stance = None
