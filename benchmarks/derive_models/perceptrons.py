"""Deep perceptrons of every activation of torch's own."""

from __future__ import annotations

import torch
from benchmarks.derive_models import Built, entry
from torch import nn

WIDTH, DEPTH = 128, 8


class Square(nn.Module):
    """ReLU, squared."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) ** 2


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


ACTIVATIONS: dict[str, nn.Module] = {
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "celu": nn.CELU(0.5),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(),
    "logsigmoid": nn.LogSigmoid(),
    "softsign": nn.Softsign(),
    "tanhshrink": nn.Tanhshrink(),
    "softshrink": nn.Softshrink(0.1),
    "hardshrink": nn.Hardshrink(0.1),
    "hardtanh": nn.Hardtanh(),
    "hardswish": nn.Hardswish(),
    "relu6": nn.ReLU6(),
    "squared_relu": Square(),
    "sine": Sine(),
}


def perceptron(activation: nn.Module) -> Built:
    """Linear layers in torch's own initialisation with one activation between them."""
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH), activation]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 64)), torch.randn(64, WIDTH)


def _enter(name: str, activation: nn.Module) -> None:
    def build() -> Built:
        return perceptron(activation)

    build.__name__ = f"{name}_perceptron"
    entry()(build)


for _name, _activation in ACTIVATIONS.items():
    _enter(_name, _activation)


@entry()
def varying_norm_perceptron() -> Built:
    model, x = perceptron(nn.Tanh())
    return model, x * torch.empty(len(x), 1).uniform_(0.2, 3.0)
