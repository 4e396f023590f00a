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


def one_cycle(rate: float, steps: int = 200) -> partial:
    """A rate that rises to ``rate`` and falls again."""
    return partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=rate, total_steps=steps + 1)


def in_steps(steps: int) -> partial:
    """A rate that falls to a third every so many steps."""
    return partial(torch.optim.lr_scheduler.StepLR, step_size=steps, gamma=0.3)


def warmed_up(steps: int) -> partial:
    """A rate that rises to its full height over so many steps."""
    scheduler = torch.optim.lr_scheduler.LinearLR
    return partial(scheduler, start_factor=0.01, total_iters=steps)
