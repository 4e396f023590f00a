"""Scales of the study: how wide and how deep, and how many learning rates are tried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenflow.study.scales import find_for_one_data_set


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    name: str
    width: int
    depths: tuple[int, ...]
    updates: int
    tries: int
    """Learning rates tried at each depth, from 0.3/depth downwards by even ratios."""
    looks: int
    note: str

    def rates(self, depth: int) -> tuple[float, ...]:
        """Learning rates for a network of that depth: the best goes as 1/depth."""
        highest = 0.3 / depth
        return tuple(float(f"{r:.3g}") for r in highest * np.geomspace(1, 0.03, self.tries))

    def reduced(self) -> list[str]:
        """What is less than in the paper, in words."""
        full = SCALES["paper"]
        parts = []
        if self.width < full.width:
            parts.append(f"{self.width} units a layer in place of {full.width}")
        if self.depths[-1] < full.depths[-1]:
            parts.append(f"at most {self.depths[-1]} layers in place of {full.depths[-1]}")
        if self.tries < full.tries:
            parts.append(f"{self.tries} learning rates in place of {full.tries}")
        return [*parts, "mini-batches of ten in place of whole passes over MNIST"]


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 32, (3, 10), 200, 2, 20, "whether it runs, not what it shows"),
        Scale("small", 200, (3, 10, 30), 5000, 6, 100, "an evening on a laptop"),
        Scale("paper", 1000, (3, 6, 12, 25, 50, 100), 50_000, 20, 200, "the paper's networks"),
    )
}


def scale(name: str, updates: int | None = None, data: tuple[str, ...] = ()) -> Scale:
    """The scale of that name; ``updates`` takes the place of what it says."""
    return find_for_one_data_set(SCALES, name, updates, data)
