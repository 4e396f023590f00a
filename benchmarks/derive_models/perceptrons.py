"""Perceptrons."""

from __future__ import annotations

import torch
from benchmarks.derive_models import Built, entry
from torch import nn


@entry()
def tanh_perceptron() -> Built:
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(128, 128), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(128, 64)), torch.randn(64, 128)


@entry()
def relu_perceptron() -> Built:
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(128, 128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 64)), torch.randn(64, 128)
