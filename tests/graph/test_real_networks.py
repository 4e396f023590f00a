"""Derivations against real networks, drawn many times: forwards and backwards, value by value."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from .laws import white
from .monte_carlo import assert_within, network_errors

WIDTH = 128
CHANNELS = 64


def softsign_by_hand(x):
    return x / (1 + x.abs())


def gelu_by_hand(x):
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


ACTIVATIONS = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "selu": F.selu,
    "mish": F.mish,
    "elu": F.elu,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "leaky relu": lambda x: F.leaky_relu(x, 0.2),
    "softsign": softsign_by_hand,
    "gelu by hand": gelu_by_hand,
    "abs − ½": lambda x: x.abs() - 0.5,
    "siren": lambda x: torch.sin(30 * x),
    "hardtanh": lambda x: F.hardtanh(x, -0.7, 0.9),
}


class Perceptron(nn.Module):
    def __init__(self, function, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(depth))
        self.function = function

    def forward(self, x):
        for layer in self.layers:
            x = self.function(layer(x))
        return x


class Slopes(Perceptron):
    """With learnt slopes."""

    def __init__(self):
        super().__init__(nn.PReLU(init=1.0))


class Convolutions(nn.Module):
    """Padding, strides, pools, a flattening head."""

    def __init__(self, pool, places, activation=nn.ReLU):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(16, CHANNELS, 3, padding=1),
            activation(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            activation(),
            pool,
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            activation(),
            nn.Flatten(),
            nn.Linear(CHANNELS * places, 64),
        )

    def forward(self, x):
        return self.layers(x)


class Residual(nn.Module):
    """Sums of branches, with dropout on the way."""

    def __init__(self, norm):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                norm(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.2), nn.Linear(WIDTH, WIDTH)
            )
            for _ in range(3)
        )

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


class Modulated(nn.Module):
    """Scales by channel of a normalised image, made from the image itself, in front of ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.map = (nn.Conv2d(i, CHANNELS, 3, padding=1) for i in (16, CHANNELS))
        self.norm, self.scale = nn.GroupNorm(4, CHANNELS), nn.Linear(16, CHANNELS)

    def forward(self, x):
        scale = 1 + self.scale(x.mean((2, 3)))[:, :, None, None]
        return F.relu(scale * self.norm(self.map(F.relu(self.first(x))))).mean((2, 3))


def normalised_convolutions(norm):
    return nn.Sequential(
        nn.Conv2d(16, CHANNELS, 3, padding=1),
        norm(),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        norm(),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
    )


IMAGES = (2, 16, 12, 12)
SMALL = (8, 16, 6, 6)
VECTORS = (64, WIDTH)
NETWORKS = {
    **{name: (Perceptron(function), VECTORS) for name, function in ACTIVATIONS.items()},
    "prelu": (Slopes(), VECTORS),
    "maximum pool": (Convolutions(nn.MaxPool2d(2), 9), IMAGES),
    "mean pool": (Convolutions(nn.AvgPool2d(2), 9, nn.Tanh), IMAGES),
    "overlapping pool": (Convolutions(nn.MaxPool2d(3, 2, 1), 9), IMAGES),
    "padded mean pool": (Convolutions(nn.AvgPool2d(3, 2, 1), 9, nn.Tanh), IMAGES),
    "adaptive pool": (Convolutions(nn.AdaptiveAvgPool2d(4), 16, nn.Tanh), IMAGES),
    "residual sums": (Residual(nn.Identity), VECTORS),
    "residual sums of layer norms": (Residual(lambda: nn.LayerNorm(WIDTH)), VECTORS),
    "batch norm": (normalised_convolutions(lambda: nn.BatchNorm2d(CHANNELS)), SMALL),
    "batch norm, evaluating": (
        normalised_convolutions(lambda: nn.BatchNorm2d(CHANNELS)).eval(),
        SMALL,
    ),
    "modulated": (Modulated(), SMALL),
    "group norm": (normalised_convolutions(lambda: nn.GroupNorm(4, CHANNELS)), SMALL),
    "instance norm": (normalised_convolutions(lambda: nn.InstanceNorm2d(CHANNELS)), SMALL),
    "transposed": (
        nn.Sequential(
            nn.ConvTranspose2d(32, CHANNELS, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(CHANNELS, 32, 3, 2),
        ),
        (3, 32, 6, 6),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_derived_moments_are_those_of_real_networks(name):
    model, shape = NETWORKS[name]
    found = network_errors(model, white(shape, 1.0))
    assert_within(found, forward=(0.01, 0.05), backward=(0.02, 0.25))
