"""Auto-encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from tests.bank import faults
from tests.bank.optimisers import adam, adamw, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import BITS, COPIES, PICTURES, Task
from torch import nn

Activation = Callable[[], nn.Module]


def narrowing(
    widths: tuple[int, ...],
    activation: Activation = nn.ReLU,
    normalised: Callable[[int], nn.Module] = lambda _width: nn.Identity(),
    end: Activation = nn.Identity,
) -> nn.Sequential:
    """64 numbers through a narrow middle."""
    layers: list[nn.Module] = []
    units = 64
    for width in widths:
        layers += [nn.Linear(units, width), normalised(width), activation()]
        units = width
    return nn.Sequential(*layers, nn.Linear(units, 64), end())


def folding(end: Activation = nn.Identity) -> nn.Sequential:
    """Images through strided convolutions and back."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1), end()),
    )


def setup(
    name: str, task: Task, optimiser: Callable, made: Callable[[], nn.Module], steps: int = 250
) -> Setup:
    """An auto-encoder on a task."""
    return Setup("auto-encoder", f"{task.name}, {name}", task, made, optimiser, steps)


RELU = setup("32-8-32 relu, adam", COPIES, adam(5e-3), partial(narrowing, (32, 8, 32)))
TANH = setup("32-8-32 tanh, adam", COPIES, adam(5e-3), partial(narrowing, (32, 8, 32), nn.Tanh))
SHALLOW = setup("16, momentum", COPIES, sgd(0.2, 0.9), partial(narrowing, (16,)))
NORMED = setup(
    "32-8-32 batch norm, adam",
    COPIES,
    adam(1e-2),
    partial(narrowing, (32, 8, 32), nn.ReLU, nn.BatchNorm1d),
)
LOGITS = setup("32-8-32 relu, adam", BITS, adam(5e-3), partial(narrowing, (32, 8, 32)))
GELU = setup("48-12-48 gelu, adamw", BITS, adamw(5e-3), partial(narrowing, (48, 12, 48), nn.GELU))
FOLDING = setup("strided, adam", PICTURES, adam(1e-2), folding)
BOUNDED = setup("strided, logistic end", PICTURES, adam(1e-2), partial(folding, nn.Sigmoid))
DEEP = setup(
    "six of 32 tanh, adam",
    COPIES,
    adam(3e-3),
    partial(narrowing, (32, 32, 16, 16, 32, 32), nn.Tanh),
)

SOUND = (
    *(RELU, TANH, SHALLOW, NORMED, LOGITS, GELU, FOLDING, BOUNDED, DEEP),
    replace(RELU, name="copies, 32-8-32 relu, batch of 8", batch=8),
    replace(RELU, name="copies, from noisy digits", inputs=lambda x: 0.8 * x + 0.1),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings()]


def _initialisations() -> list[Case]:
    logistic = partial(narrowing, (32, 32, 16, 16, 32, 32), nn.Sigmoid)
    return [
        *faulty(faults.standard_normal(), RELU, TANH),
        *faulty(faults.scaled(20), DEEP, GELU),
        *faulty(faults.tiny_normal(0.005), DEEP),
        *faulty(faults.constant(0.05), RELU, TANH),
        *faulty(faults.constant(0.0), TANH, FOLDING),
        *faulty(faults.symmetric(), TANH, FOLDING),
        *faulty(faults.dead_biases(), RELU, FOLDING),
        *faulty(faults.off_centre(), DEEP),
        *faulty(faults.logistic_depth(logistic), DEEP),
    ]


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("of 0 to 255", lambda x: 100 * (x + 1)), TANH, RELU),
        *faulty(faults.inputs("× 1e-4", lambda x: 1e-4 * x), SHALLOW),
        *faulty(faults.targets("× 1000", lambda y: 1000 * y), RELU, FOLDING),
        *faulty(faults.DOUBLED_LOGISTIC, LOGITS, GELU),
        *faulty(faults.RELU_ON_TARGETS, TANH),
        *faulty(faults.LOGISTIC_ON_TARGETS, RELU),
        *faulty(faults.rate("adam 0.5", adam(0.5), high=True), RELU, GELU),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), TANH, FOLDING),
        *faulty(faults.clipped(1e-5), SHALLOW),
        *faulty(faults.frozen("0", "3"), replace(TANH, network=_narrow_start)),
        *faulty(faults.half_weights(torch.bfloat16, adam(1e-5)), RELU),
    ]


def _narrow_start() -> nn.Module:
    return narrowing((8, 32), nn.Tanh)
