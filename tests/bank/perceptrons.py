"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from tests.bank import faults
from tests.bank.optimisers import adagrad, adam, adamw, in_steps, one_cycle, rmsprop, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import (
    BITS,
    CANCER,
    DIABETES,
    DIGITS,
    PIXELS,
    RINGS,
    SWITCHES,
    TEACHER,
    WAVES,
    WINE,
    Task,
)
from tests.bank.weights import drawn, he, orthogonal, with_weights, xavier
from torch import nn

Activation = Callable[[], nn.Module]


def network(
    task: Task,
    depth: int,
    width: int,
    activation: Activation = nn.ReLU,
    normalised: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` units."""
    layers: list[nn.Module] = []
    units = task.inputs
    for _ in range(depth):
        layers.append(nn.Linear(units, width))
        if normalised is not None:
            layers.append(normalised(width))
        layers.append(activation())
        if dropout:
            layers.append(nn.Dropout(dropout))
        units = width
    return nn.Sequential(*layers, nn.Linear(units, task.outputs))


class Branches(nn.Module):
    """Small experts side by side, whose answers are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(network(DIGITS, 1, 2, nn.Tanh) for _ in range(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(branch(x) for branch in self.branches)


def alternating() -> nn.Sequential:
    """Wide and narrow layers in turn."""
    layers: list[nn.Module] = []
    units = 64
    for width in (128, 8) * 4:
        layers += [nn.Linear(units, width), nn.Tanh()]
        units = width
    return nn.Sequential(*layers, nn.Linear(units, 10))


def setup(
    name: str, task: Task, optimiser: Callable, depth: int, width: int, steps: int = 200, **how
) -> Setup:
    """A perceptron on a task."""
    made = partial(network, task, depth, width, **how)
    return Setup("perceptron", f"{task.name}, {name}", task, made, optimiser, steps)


RELU = setup("relu 3x48, sgd", DIGITS, sgd(0.1), 3, 48)
RELU_ADAM = setup("relu 4x32, adam", DIGITS, adam(3e-3), 4, 32)
TANH = setup("tanh 3x32, momentum", DIGITS, sgd(0.02, 0.9), 3, 32, activation=nn.Tanh)
GELU = setup("gelu 2x64, adamw", PIXELS, adamw(3e-3), 2, 64, activation=nn.GELU)
LOGISTIC = setup("logistic 1x64, adam", DIGITS, adam(1e-2), 1, 64, activation=nn.Sigmoid)
BATCH_NORM = setup("relu 5x32, batch norm, sgd", DIGITS, sgd(0.1), 5, 32, normalised=nn.BatchNorm1d)
LAYER_NORM = setup(
    "tanh 5x32, layer norm, adam",
    WINE,
    adam(3e-3),
    5,
    32,
    activation=nn.Tanh,
    normalised=nn.LayerNorm,
)
WINE_TANH = setup("tanh 2x16, sgd", WINE, sgd(0.1), 2, 16, activation=nn.Tanh)
WINE_RELU = setup("relu 2x24, rmsprop", WINE, rmsprop(2e-3), 2, 24)
CANCER_RELU = setup("relu 3x24, adam", CANCER, adam(3e-3), 3, 24)
CANCER_ELU = setup("elu 2x16, sgd", CANCER, sgd(0.1), 2, 16, activation=nn.ELU)
DIABETES_RELU = setup("relu 2x32, adam", DIABETES, adam(5e-3), 2, 32, steps=300)
TEACHER_TANH = setup("tanh 2x48, momentum", TEACHER, sgd(0.05, 0.9), 2, 48, activation=nn.Tanh)
TEACHER_RELU = setup("relu 4x48, adam", TEACHER, adam(3e-3), 4, 48, steps=300)
WAVES_TANH = setup("tanh 2x32, adam", WAVES, adam(1e-2), 2, 32, activation=nn.Tanh)
RINGS_RELU = setup("relu 2x32, adam", RINGS, adam(1e-2), 2, 32)
SWITCHES_SILU = setup("silu 2x32, adam", SWITCHES, adam(5e-3), 2, 32, activation=nn.SiLU)
DEEP_RELU = with_weights(he, setup("relu 16x48 (he), sgd", DIGITS, sgd(0.03), 16, 48))
DEEP_TANH = with_weights(
    orthogonal, setup("tanh 20x48 (orthogonal), sgd", DIGITS, sgd(0.03), 20, 48, activation=nn.Tanh)
)
TANH_8 = with_weights(
    xavier, setup("tanh 8x32 (xavier), sgd", DIGITS, sgd(0.05, 0.9), 8, 32, activation=nn.Tanh)
)

BRANCHES = Setup(
    *("perceptron", "digits, 12 branches of 2, adam", DIGITS, Branches, adam(1e-2)), steps=200
)
WIDE_NARROW = with_weights(
    xavier,
    Setup(
        "perceptron", "digits, 128-8 four times tanh, sgd", DIGITS, alternating, sgd(0.03, 0.9), 200
    ),
)
BIG = setup("relu 2x128, adam", DIGITS, adam(3e-3), 2, 128)
NARROW = setup("relu 3x6, adam", DIGITS, adam(1e-2), 3, 6, 300)

SOUND = (
    *(RELU, RELU_ADAM, TANH, GELU, LOGISTIC, BATCH_NORM, LAYER_NORM, WINE_TANH, WINE_RELU),
    *(CANCER_RELU, CANCER_ELU, DIABETES_RELU, TEACHER_TANH, TEACHER_RELU, WAVES_TANH),
    *(RINGS_RELU, SWITCHES_SILU, DEEP_RELU, DEEP_TANH, TANH_8, BRANCHES, WIDE_NARROW),
    *(BIG, NARROW),
    setup("leaky 3x32, nesterov", DIGITS, sgd(0.03, 0.9), 3, 32, activation=nn.LeakyReLU),
    setup("softsign 2x48, adagrad", DIGITS, adagrad(0.03), 2, 48, activation=nn.Softsign),
    setup("selu 4x32, adam", CANCER, adam(2e-3), 4, 32, activation=nn.SELU),
    setup("mish 3x32, adamw", TEACHER, adamw(3e-3), 3, 32, 300, activation=nn.Mish),
    setup("tanh 1x8, adam", CANCER, adam(2e-2), 1, 8, activation=nn.Tanh),
    setup("relu 2x64, dropout, adam", DIGITS, adam(3e-3), 2, 64, dropout=0.3),
    setup("linear, sgd", DIGITS, sgd(0.1), 0, 1),
    setup("relu 6x32, layer norm, sgd", DIGITS, sgd(0.1), 6, 32, normalised=nn.LayerNorm),
    setup("softplus 1x32, adam", WINE, adam(1e-2), 1, 32, activation=nn.Softplus),
    setup("logistic 2x32, adam", SWITCHES, adam(1e-2), 2, 32, 300, activation=nn.Sigmoid),
    setup("relu 3x32, adam", BITS, adam(3e-3), 3, 32, 300),
    replace(RINGS_RELU, name="rings, relu 2x32, rate in steps", schedule=in_steps(60)),
    replace(RELU, name="digits, relu 3x48, clipped at 1", clip=1.0),
    replace(TANH, name="digits, tanh 3x32, one cycle", schedule=one_cycle(0.1)),
    replace(RELU_ADAM, name="digits, relu 4x32, bfloat16", autocast=torch.bfloat16),
    replace(RELU_ADAM, name="digits, relu 4x32, batch of 8", batch=8),
    replace(GELU, name="pixels, gelu 2x64, slow", optimiser=adamw(3e-4), steps=400),
)


def cases() -> list[Case]:
    """All of the family."""
    return [*sound(*SOUND), *_initialisations(), *_settings(), *_silent()]


def _initialisations() -> list[Case]:
    logistic = partial(network, DIGITS, 8, 48, activation=nn.Sigmoid)
    logistic_narrow = partial(network, WINE, 6, 24, activation=nn.Sigmoid)
    bare = drawn(partial(nn.init.normal_, std=0.5), partial(network, DIGITS, 8, 48))
    normed = drawn(
        partial(nn.init.normal_, std=0.5),
        partial(network, DIGITS, 8, 48, normalised=nn.BatchNorm1d),
    )
    normalised = replace(RELU, name="digits, relu 8x48, batch norm", network=normed, steps=200)
    return [
        *faulty(faults.standard_normal(), TANH, RELU, TEACHER_RELU, DEEP_TANH),
        *faulty(faults.scaled(0.1), RELU_ADAM, TEACHER_RELU, TANH_8),
        *faulty(faults.scaled(8), DEEP_TANH, TANH_8),
        *faulty(faults.scaled(30), WINE_TANH),
        *faulty(faults.scaled(3), DEEP_RELU),
        *faulty(faults.one_scaled(300), TANH_8, RELU),
        *faulty(faults.one_scaled(1e-7), DEEP_RELU),
        *faulty(faults.tiny_normal(0.01), DEEP_RELU, TANH_8),
        *faulty(faults.constant(0.05), RELU, WINE_TANH, GELU),
        *faulty(faults.constant(0.0), RELU, TANH),
        *faulty(faults.symmetric(), TANH, GELU),
        *faulty(faults.cloned(), BRANCHES),
        *faulty(faults.dead_biases(), RELU, RELU_ADAM),
        *faulty(faults.dead_biases(-3.0), TEACHER_RELU),
        *faulty(faults.gain_forgotten(), DEEP_RELU),
        *faulty(faults.old_heuristic(), DEEP_TANH, DEEP_RELU),
        *faulty(faults.other_axis(), WIDE_NARROW),
        *faulty(faults.off_centre(), TANH, RELU_ADAM),
        *faulty(faults.logistic_depth(logistic), TANH_8),
        *faulty(faults.logistic_depth(logistic_narrow), LAYER_NORM),
        *faulty(faults.normalisation_missing(bare), normalised),
    ]


def _settings() -> list[Case]:
    return [
        *faulty(faults.inputs("of 0 to 255", lambda x: 100 * (x + 1)), TANH, LOGISTIC),
        *faulty(faults.inputs("× 1e-4", lambda x: 1e-4 * x), RELU, WINE_TANH),
        *faulty(faults.inputs("+ 300", lambda x: x + 300), RELU, CANCER_ELU),
        *faulty(faults.targets("× 1000", lambda y: 1000 * y), TEACHER_TANH, WAVES_TANH),
        *faulty(faults.targets("of 0 and 255", lambda y: 255 * y), CANCER_RELU),
        *faulty(faults.DOUBLED_SOFTMAX, RELU, WINE_TANH),
        *faulty(faults.SOFTMAX_BEFORE_NLL, RELU),
        *faulty(faults.LOGITS_BEFORE_NLL, RELU),
        *faulty(faults.DOUBLED_LOGISTIC, CANCER_RELU, SWITCHES_SILU),
        *faulty(faults.RELU_ON_LOGITS, RELU, TANH),
        *faulty(faults.TANH_ON_LOGITS, TANH),
        *faulty(faults.RELU_ON_TARGETS, TEACHER_TANH, WAVES_TANH),
        *faulty(faults.LOGISTIC_ON_TARGETS, TEACHER_RELU, DIABETES_RELU),
        *faulty(faults.rate("sgd 10", sgd(10.0), high=True), RELU, CANCER_ELU),
        *faulty(faults.rate("sgd 3, momentum", sgd(3.0, 0.9), high=True), TANH),
        *faulty(faults.rate("adam 0.5", adam(0.5), high=True), RELU_ADAM, TEACHER_RELU),
        *faulty(faults.rate("adam 0.1", adam(0.1), high=True), TANH_8),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), RELU_ADAM, WAVES_TANH),
        *faulty(faults.rate("sgd 1e-5", sgd(1e-5), high=False), RELU, WINE_TANH),
        *faulty(faults.clipped(1e-3), RELU, TEACHER_TANH),
        *faulty(faults.frozen("2", "4", "6"), NARROW),
        *faulty(faults.left_out("0", "2"), NARROW),
        *faulty(faults.half_weights(torch.bfloat16, sgd(1e-3)), RELU),
        *faulty(faults.half_weights(torch.bfloat16, adam(1e-5)), GELU),
    ]


def _silent() -> list[Case]:
    return [
        *faulty(faults.LABELS_PERMUTED, RELU, WINE_TANH),
        *faulty(faults.labels_wrong(0.2, 10), RELU_ADAM, LOGISTIC),
        *faulty(faults.FEATURES_SHUFFLED, TANH, CANCER_RELU),
        *faulty(faults.FEW_EXAMPLES, GELU),
        *faulty(faults.LABELS_AT_RANDOM, BIG),
    ]
