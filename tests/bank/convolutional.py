"""Convolutional networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from tests.bank import faults
from tests.bank.optimisers import adam, adamw, one_cycle, rmsprop, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import DIGITS, IMAGES, PICTURES, UNSCALED_IMAGES, Task
from tests.bank.weights import he, orthogonal, with_weights
from torch import nn

Activation = Callable[[], nn.Module]


def network(
    channels: tuple[int, ...],
    activation: Activation = nn.ReLU,
    normalised: Callable[[int], nn.Module] | None = None,
    pool: int = 2,
) -> nn.Sequential:
    """3 × 3 convolutions on 8 × 8 images, one pooling, a linear layer."""
    layers: list[nn.Module] = []
    before = 1
    for number, width in enumerate(channels):
        layers.append(nn.Conv2d(before, width, 3, padding=1))
        if normalised is not None:
            layers.append(normalised(width))
        layers.append(activation())
        if number == 0:
            layers.append(nn.MaxPool2d(pool))
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * (8 // pool) ** 2, 10))


def strided(width: int = 8) -> nn.Sequential:
    """Strides for poolings, and a mean over positions at the end."""
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10)),
    )


def separable() -> nn.Sequential:
    """Depthwise convolutions, and mixing of channels."""
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.ReLU()]
        layers += [nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))


def along_a_line() -> nn.Sequential:
    """One-dimensional convolutions over 64 pixels in a row."""
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 64)), nn.Conv1d(1, 8, 5, stride=2), nn.ReLU()),
        *(nn.Conv1d(8, 16, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(208, 10)),
    )


def dilated() -> nn.Sequential:
    """From image to image, without its noise."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=2, dilation=2)),
        *(nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)),
    )


def setup(
    name: str,
    optimiser: Callable,
    made: Callable[[], nn.Module],
    task: Task = IMAGES,
    steps: int = 150,
) -> Setup:
    """A convolutional network on a task."""
    return Setup("convolutional", f"{task.name}, {name}", task, made, optimiser, steps)


def noisy(images: torch.Tensor) -> torch.Tensor:
    """Images with noise that never changes."""
    return images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(9))


def faint(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that is a small part of a whole."""
    return 1e-5 * F.cross_entropy(output, target)


SMALL = setup("8-16 relu, sgd", sgd(0.1), partial(network, (8, 16)))
ADAM = setup("8-16 relu, adam", adam(3e-3), partial(network, (8, 16)))
TANH = setup("8-8 tanh, momentum", sgd(0.03, 0.9), partial(network, (8, 8), nn.Tanh))
BATCH_NORM = setup(
    "8-8-16 batch norm, sgd", sgd(0.1), partial(network, (8, 8, 16), normalised=nn.BatchNorm2d)
)
GROUP_NORM = setup(
    *("8-8 silu, group norm, adamw", adamw(3e-3)),
    partial(network, (8, 8), nn.SiLU, partial(nn.GroupNorm, 4)),
)
DEEP = with_weights(he, setup("12 of 8 (he), sgd", sgd(0.02, 0.9), partial(network, (8,) * 12)))
DEEP_TANH = with_weights(
    orthogonal, setup("12 of 8 tanh, sgd", sgd(0.02, 0.9), partial(network, (8,) * 12, nn.Tanh))
)
STRIDED = setup("strided, batch norm, adam", adam(1e-2), strided, steps=250)
SEPARABLE = setup("separable, adam", adam(1e-2), separable)
LINE = setup("along a line, adam", adam(3e-3), along_a_line, DIGITS)
UNSCALED = setup("8-16 relu, adam", adam(3e-3), partial(network, (8, 16)), UNSCALED_IMAGES)
DENOISER = replace(
    setup("denoiser, adam", adam(1e-2), dilated, PICTURES), inputs=noisy, name="pictures, denoiser"
)
GELU = setup("16 gelu, rmsprop", rmsprop(2e-3), partial(network, (16,), nn.GELU))
FIRST_NARROW = setup("2-4 relu, adam", adam(1e-2), partial(network, (2, 4), pool=4), steps=250)
FAINT = replace(ADAM, name="images, 8-16 relu, faint loss", loss=faint)

SOUND = (
    *(SMALL, ADAM, TANH, BATCH_NORM, GROUP_NORM, DEEP, DEEP_TANH, STRIDED, SEPARABLE, LINE),
    *(UNSCALED, DENOISER, GELU, FIRST_NARROW, FAINT),
    replace(ADAM, name="images, 8-16 relu, clipped at 5", clip=5.0),
    replace(ADAM, name="images, 8-16 relu, bfloat16", autocast=torch.bfloat16),
    replace(SMALL, name="images, 8-16 relu, one cycle", schedule=one_cycle(0.2, 150)),
    replace(BATCH_NORM, name="images, 8-8-16 batch norm, batch of 64", batch=64, steps=100),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings(), *_silent()]


def _initialisations() -> list[Case]:
    logistic = partial(network, (8,) * 6, nn.Sigmoid)
    bare = partial(network, (8,) * 14)
    normed = partial(network, (8,) * 14, normalised=nn.BatchNorm2d)
    normalised = setup("14 of 8, batch norm, sgd", sgd(0.05), normed, steps=200)
    return [
        *faulty(faults.standard_normal(), SMALL, DEEP),
        *faulty(faults.scaled(0.1), DEEP, DEEP_TANH),
        *faulty(faults.scaled(10), DEEP_TANH),
        *faulty(faults.one_scaled(50), SMALL),
        *faulty(faults.field_forgotten(), DEEP, DEEP_TANH),
        *faulty(faults.old_heuristic(), DEEP),
        *faulty(faults.constant(0.02), SMALL, ADAM),
        *faulty(faults.constant(0.0), TANH),
        *faulty(faults.symmetric(), STRIDED, GELU),
        *faulty(faults.dead_biases(), SMALL, UNSCALED),
        *faulty(faults.off_centre(), DEEP_TANH),
        *faulty(faults.logistic_depth(logistic), DEEP_TANH),
        *faulty(faults.normalisation_missing(bare), normalised),
    ]


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("of 0 to 255", lambda x: 255 * x), SMALL, DEEP_TANH),
        *faulty(faults.inputs("× 1e-4", lambda x: 1e-4 * x), SMALL),
        *faulty(faults.DOUBLED_SOFTMAX, SMALL, BATCH_NORM),
        *faulty(faults.LOGITS_BEFORE_NLL, ADAM),
        *faulty(faults.RELU_ON_LOGITS, ADAM),
        *faulty(faults.TANH_ON_LOGITS, STRIDED),
        *faulty(faults.targets("of 0 to 1000", lambda y: 1000 * y), DENOISER),
        *faulty(faults.rate("sgd 10", sgd(10.0), high=True), SMALL, TANH),
        *faulty(faults.rate("adam 0.5", adam(0.5), high=True), ADAM, LINE),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), ADAM, GROUP_NORM),
        *faulty(faults.clipped(1e-3), SMALL),
        *faulty(faults.frozen("0", "3"), FIRST_NARROW),
        *faulty(faults.left_out("0", "3"), FIRST_NARROW),
        *faulty(faults.half_weights(torch.bfloat16, sgd(1e-3)), SMALL),
        *faulty(faults.half_without_scale(), FAINT),
    ]


def _silent() -> list[Case]:
    return [
        *faulty(faults.LABELS_PERMUTED, ADAM, BATCH_NORM),
        *faulty(faults.labels_wrong(0.2, 10), SMALL),
        *faulty(faults.LABELS_AT_RANDOM, GELU),
    ]
