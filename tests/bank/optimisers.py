"""Optimisers by their settings, without the parameters."""

from __future__ import annotations

from functools import partial

import torch


def sgd(rate: float, momentum: float = 0.0, decay: float = 0.0) -> partial:
    """Stochastic gradient descent."""
    return partial(torch.optim.SGD, lr=rate, momentum=momentum, weight_decay=decay)


def adam(rate: float = 1e-3) -> partial:
    """Adam."""
    return partial(torch.optim.Adam, lr=rate)


def adamw(rate: float = 1e-3, decay: float = 0.01) -> partial:
    """AdamW."""
    return partial(torch.optim.AdamW, lr=rate, weight_decay=decay)


def rmsprop(rate: float = 1e-3) -> partial:
    """RMSprop."""
    return partial(torch.optim.RMSprop, lr=rate)


def adagrad(rate: float = 0.02) -> partial:
    """Adagrad."""
    return partial(torch.optim.Adagrad, lr=rate)
