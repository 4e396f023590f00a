"""Unsupervised pre-training: each layer in turn learns to mend corrupted inputs.

Stacked denoising auto-encoders (Vincent et al. 2008): some of a layer's inputs are set to zero, and
the layer, read backwards with the same weights, is to bring back what they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evenflow.study.training.bank import Bank

CORRUPTED = 0.25
"""Share of the inputs that are set to zero."""
RATE = 0.01
"""Learning rate of the auto-encoders, for the cost summed over a layer's inputs."""


class Denoising:
    """Pre-training of a bank's hidden layers from the lowest upwards, ``updates`` steps each."""

    def __init__(self, bank: Bank, updates: int, seeds: Sequence[int]) -> None:
        """``seeds``, one a network, decide which inputs are corrupted."""
        self.bank, self.updates, self.seeds = bank, updates, seeds
        self.done = 0
        self.biases = [torch.zeros_like(w[:, :1, :]) for w in bank.weights[:-1]]
        """Of each layer read backwards, (N, 1, inputs)."""

    @property
    def over(self) -> bool:
        """Whether every layer had its steps."""
        return self.done >= self.updates * (len(self.bank.weights) - 1)

    @torch.no_grad()
    def step(self) -> None:
        """One step on the bank's inputs, for the layer whose turn it is."""
        bank, layer = self.bank, self.done // self.updates
        below = bank.forward()[layer]
        weight, bias, back = bank.weights[layer], bank.biases[layer], self.biases[layer]
        seen = below * self._kept(below)
        code = bank.activation.apply_(torch.baddbmm(bias, seen, weight.mT))
        mended = torch.baddbmm(back, code, weight)
        if layer == 0:  # pixels lie between 0 and 1: their cost is a cross-entropy
            mended.sigmoid_()
        error = mended.sub_(below).mul_(RATE / below.shape[1])
        delta = bank.activation.chain_(torch.bmm(error, weight.mT), code)
        weight.baddbmm_(delta.mT, seen, alpha=-1).baddbmm_(code.mT, error, alpha=-1)
        bias.sub_(delta.sum(1, keepdim=True))
        back.sub_(error.sum(1, keepdim=True))
        self.done += 1

    def _kept(self, below: Tensor) -> Tensor:
        """1 where an input is kept, 0 where it is corrupted: a function of (seed, step)."""
        shape = below.shape[1:]
        draws = [np.random.default_rng((seed, self.done)).random(shape) for seed in self.seeds]
        return torch.from_numpy(np.stack(draws) >= CORRUPTED).to(below)
