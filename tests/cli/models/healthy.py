"""Small networks that are fine, in the forms that a factory may return."""

import torch
from torch import nn


def images(rows=64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 12, generator=generator)
    return x, (x[:, 0] > 0).long()


def network():
    model = nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return model


def with_inputs():
    return network(), images()[0]


def with_target():
    return network(), *images()


def mapping():
    inputs, target = images()
    return {"model": network(), "inputs": inputs, "target": target, "loss": "cross_entropy"}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12, bias=False)
        self.second = nn.Linear(12, 12, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def tied():
    return Tied(), images()[0]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12)) for _ in range(4)
        )

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x


def residual():
    return Residual(), images()[0]


def talkative():
    print("building the network")
    return with_inputs()
