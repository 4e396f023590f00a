"""Scales of the reproduction: from a few minutes to the paper's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evenflow.errors import InputError
from evenflow.study.scales import find

COLUMNS = ("shapeset", "mnist", "cifar10", "small-imagenet")
"""The columns of Table 1."""
STAND_INS = {"small-imagenet-stand-in": "small-imagenet"}
"""Data sets that take the place of one that few people have."""
TITLES = {
    "shapeset": "Shapeset-3×2",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "small-imagenet": "Small-ImageNet",
    "small-imagenet-stand-in": "Grey CIFAR-10 for Small-ImageNet",
}
"""What the data sets are called on the page."""
EPOCH = 20_000
"""Updates of one epoch on the paper's time axis."""


@dataclass(frozen=True)
class Scale:
    """How much is done; everything else is as the paper has it."""

    name: str
    width: int
    """Units of a hidden layer."""
    updates: int
    rates: tuple[float, ...]
    """Learning rates that the search tries, by validation error at the end of the training."""
    seeds: int
    """Networks of each model at the rate found."""
    test_images: int
    looks: int
    """How many times a training is looked at, evenly spread."""
    fixed_images: int
    """Examples of Shapeset's fixed training set for the support-vector machine."""
    depths: tuple[int, ...]
    """Numbers of hidden layers that the search for the best depth tries."""
    starts: int
    """Networks of each model that are looked at before any training."""
    jacobians: int
    """Images at which the layers' Jacobians are decomposed at the start."""
    note: str
    data: tuple[str, ...] = (*COLUMNS[:-1], *STAND_INS)
    """The data sets of Table 1."""

    def reduced(self) -> list[str]:
        """What is less than in the paper, in words; empty for the paper's own scale."""
        full = SCALES["paper"]
        parts = []
        if self.width < full.width:
            parts.append(f"{self.width} units a layer in place of {full.width}")
        if self.updates < full.updates:
            parts.append(f"{self.updates:,} updates in place of {full.updates:,}")
        if len(self.rates) < len(full.rates):
            tried = ", ".join(f"{rate:g}" for rate in self.rates)
            parts.append(f"learning rates to try: {tried}")
        if self.test_images < full.test_images:
            parts.append(f"{self.test_images:,} test images in place of {full.test_images:,}")
        left_out = set(COLUMNS) - {STAND_INS.get(name, name) for name in self.data}
        if left_out:
            parts.append(f"left out: {', '.join(TITLES[name] for name in sorted(left_out))}")
        return parts


SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            name="smoke",
            width=64,
            updates=300,
            rates=(0.1,),
            seeds=1,
            test_images=1000,
            looks=10,
            fixed_images=500,
            depths=(4, 5),
            starts=5,
            jacobians=1,
            note="everything once, in minutes: whether it runs, not what it shows",
        ),
        Scale(
            name="small",
            width=1000,
            updates=100_000,
            rates=(0.1, 0.03, 0.01),
            seeds=3,
            test_images=10_000,
            looks=10,
            fixed_images=5000,
            depths=(3, 4, 5),
            starts=20,
            jacobians=10,
            note="the paper's networks, fewer updates: a night on a laptop",
        ),
        Scale(
            name="paper",
            width=1000,
            updates=5_000_000,
            rates=(0.3, 0.1, 0.03, 0.01, 0.003, 0.001),
            seeds=5,
            test_images=10_000,
            looks=100,
            fixed_images=100_000,
            depths=(1, 2, 3, 4, 5),
            starts=20,
            jacobians=10,
            note="as in 2010: five million updates of every model",
        ),
    )
}


def scale(name: str, updates: int | None = None, data: tuple[str, ...] = ()) -> Scale:
    """The scale of that name; ``updates`` and ``data`` take the place of what it says."""
    for each in data:
        if each not in (*COLUMNS, *STAND_INS):
            raise InputError(
                f"Table 1 has no data set {each!r}",
                remedy=f"choose from {', '.join((*COLUMNS, *STAND_INS))}",
            )
    found = find(SCALES, name, updates)
    return replace(found, data=data) if data else found


def column(data: str) -> int:
    """The column of Table 1 that a data set stands in, or stands in for."""
    return COLUMNS.index(STAND_INS.get(data, data))
