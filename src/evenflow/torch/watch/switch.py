"""Hooks that are put in for a sampled step and taken out after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

Hook = Callable[..., Any]


class Switch:
    """Registers hooks once; turning them on and off again then costs a tenth of registering."""

    def __init__(self) -> None:
        self._hooks: list[tuple[dict[int, Hook], RemovableHandle, Hook]] = []
        self.is_on = False

    def before(self, module: nn.Module, hook: Hook, *, keywords: bool = False) -> None:
        """Call ``hook`` before ``module`` runs; ``keywords``: also with its keyword arguments."""
        handle = module.register_forward_pre_hook(hook, with_kwargs=keywords)
        self._hooks.append((module._forward_pre_hooks, handle, hook))

    def after(self, module: nn.Module, hook: Hook, *, always: bool = False) -> None:
        """Call ``hook`` after ``module`` has run; ``always``: also where it has failed."""
        handle = module.register_forward_hook(hook, always_call=always)
        self._hooks.append((module._forward_hooks, handle, hook))

    def after_step(self, optimiser: torch.optim.Optimizer, hook: Hook) -> None:
        """Call ``hook`` after each step of ``optimiser``."""
        handle = optimiser.register_step_post_hook(hook)
        self._hooks.append((optimiser._optimizer_step_post_hooks, handle, hook))

    def on(self) -> None:
        """From now on."""
        if not self.is_on:
            self.is_on = True
            for table, handle, hook in self._hooks:
                table[handle.id] = hook

    def off(self) -> None:
        """Until it is turned on again."""
        self.is_on = False
        for table, handle, _ in self._hooks:
            table.pop(handle.id, None)

    def remove(self) -> None:
        """For good."""
        self.is_on = False
        for _, handle, _ in self._hooks:
            handle.remove()
        self._hooks.clear()
