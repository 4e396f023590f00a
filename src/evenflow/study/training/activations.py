"""Activations in place, and their slopes written in terms of their own outputs.

Each of these has a slope that follows from the output alone, so that nothing else need be kept:
φ′ = a(1 − a) for the logistic, 1 − a² for tanh, (1 − |a|)² for softsign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Activation(NamedTuple):
    """An activation on a tensor of pre-activations."""

    apply_: Callable[[Tensor], Tensor]
    """Replaces z by φ(z)."""
    chain_: Callable[[Tensor, Tensor], Tensor]
    """``chain_(d, a)`` replaces d = ∂C/∂a by ∂C/∂z = d φ′(z), where a = φ(z)."""
    floor: float
    """Least value, or −∞; histograms of bounded activations have a common axis."""
    ceiling: float
    """Greatest value, or ∞."""


def _softsign_(z: Tensor) -> Tensor:
    return z.div_(z.abs().add_(1))


def _softsign_chain_(d: Tensor, a: Tensor) -> Tensor:
    return d.mul_(a.abs().neg_().add_(1).square_())


def _tanh_chain_(d: Tensor, a: Tensor) -> Tensor:
    torch.ops.aten.tanh_backward.grad_input(d, a, grad_input=d)
    return d


def _sigmoid_chain_(d: Tensor, a: Tensor) -> Tensor:
    torch.ops.aten.sigmoid_backward.grad_input(d, a, grad_input=d)
    return d


def _relu_chain_(d: Tensor, a: Tensor) -> Tensor:
    torch.ops.aten.threshold_backward.grad_input(d, a, 0, grad_input=d)
    return d


_INFINITY = float("inf")
ACTIVATIONS = {
    "sigmoid": Activation(Tensor.sigmoid_, _sigmoid_chain_, 0, 1),
    "tanh": Activation(Tensor.tanh_, _tanh_chain_, -1, 1),
    "softsign": Activation(_softsign_, _softsign_chain_, -1, 1),
    "relu": Activation(Tensor.relu_, _relu_chain_, 0, _INFINITY),
    "linear": Activation(lambda z: z, lambda d, _a: d, -_INFINITY, _INFINITY),
}
