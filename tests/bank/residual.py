"""Residual networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from tests.bank import faults
from tests.bank.optimisers import adam, adamw, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import CANCER, DIGITS, IMAGES, TEACHER, Task
from tests.bank.weights import drawn, he
from torch import nn

Norm = Callable[[int], nn.Module]


class Branch(nn.Module):
    """x + W₂ φ(W₁ norm(x))."""

    def __init__(self, width: int, norm: Norm, layer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.norm, self.first = norm(width), layer(width, width)
        self.act, self.second = nn.ReLU(), layer(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.act(self.first(self.norm(x))))


def _nothing(_width: int) -> nn.Module:
    return nn.Identity()


def _kernel(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1)


def flat(task: Task, width: int, depth: int, norm: Norm = nn.LayerNorm) -> nn.Sequential:
    """A stream of ``width`` numbers."""
    blocks = [Branch(width, norm, nn.Linear) for _ in range(depth)]
    start, end = nn.Linear(task.inputs, width), nn.Linear(width, task.outputs)
    return nn.Sequential(start, *blocks, norm(width), nn.ReLU(), end)


def images(width: int, depth: int, norm: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """A stream of images of half the size."""
    blocks = [Branch(width, norm, _kernel) for _ in range(depth)]
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, stride=2, padding=1), *blocks, norm(width), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
    )


def identity_at_first(made: Callable[[], nn.Module]) -> nn.Module:
    """Branches whose last weights start at zero."""
    model = made()
    for module in model.modules():
        if isinstance(module, Branch):
            nn.init.zeros_(module.second.weight)
            nn.init.zeros_(module.second.bias)
    return model


def setup(
    name: str, task: Task, optimiser: Callable, made: Callable[[], nn.Module], steps: int = 150
) -> Setup:
    """A residual network on a task."""
    return Setup("residual", f"{task.name}, {name}", task, made, optimiser, steps)


FLAT = setup("4x32, layer norm, adam", DIGITS, adam(3e-3), partial(flat, DIGITS, 32, 4))
FLAT_SGD = setup("6x32, layer norm, sgd", DIGITS, sgd(0.05), partial(flat, DIGITS, 32, 6))
FLAT_BATCH = setup(
    "4x24, batch norm, momentum",
    CANCER,
    sgd(0.02, 0.9),
    partial(flat, CANCER, 24, 4, nn.BatchNorm1d),
)
TEACHER_FLAT = setup(
    "3x48, layer norm, adamw", TEACHER, adamw(3e-3), partial(flat, TEACHER, 48, 3), 250
)
CONV = setup("2 of 12, batch norm, adam", IMAGES, adam(1e-2), partial(images, 12, 2))
CONV_SGD = setup("3 of 8, batch norm, sgd", IMAGES, sgd(0.1), partial(images, 8, 3), 250)
GROUPED = setup(
    *("2 of 8, group norm, adam", IMAGES, adam(1e-2)),
    partial(images, 8, 2, partial(nn.GroupNorm, 2)),
    250,
)
ZERO = setup(
    *("10x32, zero at first, adam", DIGITS, adam(2e-3)),
    partial(identity_at_first, partial(flat, DIGITS, 32, 10, _nothing)),
)
ZERO_SGD = setup(
    *("20x32, zero at first, sgd", DIGITS, sgd(0.02)),
    partial(identity_at_first, partial(flat, DIGITS, 32, 20, _nothing)),
    200,
)
DEEP = setup("24x24, layer norm, adam", DIGITS, adam(2e-3), partial(flat, DIGITS, 24, 24), 120)
BARE = setup("3x32, no norm, adam", DIGITS, adam(2e-3), partial(flat, DIGITS, 32, 3, _nothing))

SOUND = (
    *(FLAT, FLAT_SGD, FLAT_BATCH, TEACHER_FLAT, CONV, CONV_SGD, GROUPED, ZERO, ZERO_SGD, DEEP),
    *(BARE,),
    replace(FLAT, name="digits, 4x32, layer norm, bfloat16", autocast=torch.bfloat16),
    replace(CONV, name="images, 2 of 12, clipped at 5", clip=5.0),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings(), *_silent()]


def _initialisations() -> list[Case]:
    bare_flat = drawn(he, partial(flat, DIGITS, 32, 24, _nothing))
    normed_flat = drawn(he, partial(flat, DIGITS, 32, 24))
    flat_he = replace(FLAT_SGD, name="digits, 24x32 (he), sgd", network=normed_flat)
    bare_images = drawn(he, partial(images, 8, 16, _nothing))
    normed_images = drawn(he, partial(images, 8, 16))
    images_he = replace(CONV_SGD, name="images, 16 of 8 (he), sgd", network=normed_images)
    return [
        *faulty(faults.normalisation_missing(bare_flat), flat_he),
        *faulty(faults.normalisation_missing(bare_images), replace(images_he, steps=150)),
        *faulty(faults.standard_normal(), BARE, FLAT_SGD),
        *faulty(faults.scaled(8), BARE),
        *faulty(faults.constant(0.05), FLAT, CONV),
        *faulty(faults.symmetric(), FLAT, CONV),
        *faulty(faults.off_centre(), BARE),
    ]


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("of 0 to 255", lambda x: 100 * (x + 1)), ZERO_SGD),
        *faulty(faults.inputs("+ 300", lambda x: x + 300), FLAT),
        *faulty(faults.DOUBLED_SOFTMAX, CONV, FLAT),
        *faulty(faults.DOUBLED_LOGISTIC, FLAT_BATCH),
        *faulty(faults.LOGITS_BEFORE_NLL, FLAT_SGD),
        *faulty(faults.TANH_ON_LOGITS, CONV_SGD),
        *faulty(faults.RELU_ON_TARGETS, TEACHER_FLAT),
        *faulty(faults.targets("× 1000", lambda y: 1000 * y), TEACHER_FLAT),
        *faulty(faults.rate("adam 0.5", adam(0.5), high=True), FLAT),
        *faulty(faults.rate("adam 3", adam(3.0), high=True), CONV, GROUPED),
        *faulty(faults.rate("sgd 30", sgd(30.0), high=True), CONV_SGD, FLAT_SGD),
        *faulty(faults.rate("sgd 1e-6", sgd(1e-6), high=False), FLAT_SGD, CONV_SGD),
        *faulty(faults.clipped(1e-4), FLAT_SGD),
        *faulty(faults.half_weights(torch.bfloat16, sgd(1e-3)), FLAT),
    ]


def _silent() -> list[Case]:
    return [*faulty(faults.LABELS_PERMUTED, FLAT), *faulty(faults.labels_wrong(0.2, 10), CONV)]
