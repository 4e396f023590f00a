"""Small networks that have something wrong with them."""

import itertools

import torch
from healthy import images
from torch import nn


def vanishing(depth=20, width=24, scale=0.2):
    """A deep tanh stack whose weights are far too small, and whose gradients vanish."""
    layers = []
    for n_in, n_out in itertools.pairwise([12, *[width] * depth]):
        layers += [nn.Linear(n_in, n_out, bias=False), nn.Tanh()]
        nn.init.normal_(layers[-2].weight, std=scale * n_in**-0.5)
    head = nn.Linear(width, 2)
    nn.init.normal_(head.weight, std=width**-0.5)
    nn.init.zeros_(head.bias)
    inputs, target = images()
    model = nn.Sequential(*layers, head)
    return {"model": model, "inputs": inputs, "target": target, "loss": "cross_entropy"}


def shrinking():
    """A few tanh layers under the heuristic of 2010: not good, but it trains."""
    return vanishing(depth=5, scale=3**-0.5)


def without_parameters():
    return nn.Tanh(), torch.ones(2, 3)


def raises():
    raise ValueError("no such layer")


def nan_inputs():
    return nn.Linear(3, 2), torch.full((2, 3), torch.nan)


def wrong_device():
    return nn.Linear(3, 2), torch.ones(2, 3, device="meta")


def no_model():
    return "a network"


def second_model():
    """Like ``healthy.network`` with one layer less, another name and another width."""
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2)), torch.ones(2, 12)


NUMBER = 3


def leaves():
    raise SystemExit(0)
