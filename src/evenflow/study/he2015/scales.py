"""Scales of the study: the depths are the paper's, the layers dense ones that a laptop bears."""

from __future__ import annotations

from dataclasses import dataclass

from evenflow.study.scales import find_for_one_data_set


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    name: str
    width: int
    updates: int
    rates: tuple[float, ...]
    looks: int
    test_images: int
    note: str

    def reduced(self) -> list[str]:
        """What is not as in the paper."""
        return [
            f"dense layers of {self.width} units on Shapeset in place of convolutions on ImageNet",
            f"{self.updates:,} updates of ten images",
        ]


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 32, 300, (0.03,), 10, 1000, "whether it runs, not what it shows"),
        Scale("small", 128, 50_000, (0.1, 0.03, 0.01), 20, 10_000, "an evening on a laptop"),
        Scale("paper", 512, 1_000_000, (0.1, 0.03, 0.01, 0.003), 50, 10_000, "days"),
    )
}


def scale(name: str, updates: int | None = None, data: tuple[str, ...] = ()) -> Scale:
    """The scale of that name; ``updates`` takes the place of what it says."""
    return find_for_one_data_set(SCALES, name, updates, data)
