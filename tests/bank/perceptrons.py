"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tests.bank import faults
from tests.bank.optimisers import adam, adamw, rmsprop, sgd
from tests.bank.setups import Case, Setup, faulty, sound
from tests.bank.tasks import (
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
from tests.bank.weights import Draw, drawn, he, orthogonal, xavier
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


def setup(
    name: str, task: Task, optimiser: Callable, depth: int, width: int, steps: int = 200, **how
) -> Setup:
    """A perceptron on a task."""
    made = partial(network, task, depth, width, **how)
    return Setup("perceptron", f"{task.name}, {name}", task, made, optimiser, steps)


def with_weights(draw: Draw, of: Setup) -> Setup:
    """A setup with weights of a scheme's own."""
    return replace(of, network=drawn(draw, of.network))


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

SOUND = (
    *(RELU, RELU_ADAM, TANH, GELU, LOGISTIC, BATCH_NORM, LAYER_NORM, WINE_TANH, WINE_RELU),
    *(CANCER_RELU, CANCER_ELU, DIABETES_RELU, TEACHER_TANH, TEACHER_RELU, WAVES_TANH),
    *(RINGS_RELU, SWITCHES_SILU, DEEP_RELU, DEEP_TANH, TANH_8),
)


def cases() -> list[Case]:
    """All of the family."""
    return [
        *sound(*SOUND),
        *faulty(faults.standard_normal(), TANH, RELU),
        *faulty(faults.constant(0.05), RELU, WINE_TANH),
        *faulty(faults.symmetric(), TANH),
        *faulty(faults.dead_biases(), RELU),
        *faulty(faults.gain_forgotten(), DEEP_RELU),
        *faulty(faults.old_heuristic(), DEEP_TANH),
        *faulty(faults.inputs("of 0 to 255", lambda x: 255 * x), TANH),
        *faulty(faults.DOUBLED_SOFTMAX, RELU),
        *faulty(faults.rate("sgd 10", sgd(10.0), high=True), RELU),
        *faulty(faults.rate("adam 1e-7", adam(1e-7), high=False), RELU_ADAM),
    ]
