"""The losses since the last sample: fetched together, or at once where that costs nothing."""

from __future__ import annotations

import math

import torch


class Losses:
    """Collects one loss a step."""

    def __init__(self) -> None:
        self._numbers: list[float] = []
        self._waiting: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor | float) -> bool:
        """Add a step's loss; False where it is known at once not to be finite."""
        if isinstance(loss, torch.Tensor):
            if not loss.is_cpu:
                self._waiting.append(loss.detach().reshape(()))
                return True
            loss = loss.item()
        self._numbers.append(float(loss))
        return math.isfinite(self._numbers[-1])

    def fetched(self) -> list[float]:
        """All of them, in one transfer; none are left."""
        numbers, waiting = self._numbers, self._waiting
        self._numbers, self._waiting = [], []
        return numbers + (torch.stack(waiting).double().tolist() if waiting else [])
