"""Step sizes of their own for each weight, from curvature or from the size of its gradients.

The paper says in passing that such steps help networks under the standard initialisation. Here the
factors are relative: their mean over all weights is one, so that a learning rate means the same as
in plain descent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evenflow.study.training.bank import Bank

EVERY = 20
"""Steps between two estimates; what they measure changes slowly."""
MEMORY = 0.9
"""Weight of the past in an estimate."""


class Scaled:
    """Steps of a bank in which each weight's gradient is multiplied by a factor of its own.

    ``curvature``: one over the diagonal of the Gauss-Newton matrix, back-propagated as by LeCun et
    al. 1998 (cross terms left out). ``gradient_variance``: one over the root of E[(∂C/∂w)²]. The
    mean over all weights is added to either before it divides, so that no step explodes.
    """

    def __init__(self, bank: Bank, method: str) -> None:
        """``method`` is one of the two named above."""
        self.bank, self.method = bank, method
        self.moments = [torch.zeros_like(w) for w in bank.weights]
        self.factors = [torch.ones_like(w) for w in bank.weights]

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Step ``number``, from 0 on, on the mean cost of the bank's inputs and targets."""
        bank = self.bank
        outputs = bank.forward()
        deltas = bank.backward(outputs)
        batch = bank.inputs.shape[1]
        gradients = [
            torch.bmm(delta.mT, below) / batch
            for delta, below in zip(deltas, outputs[:-1], strict=True)
        ]
        if number % EVERY == 0:
            self._estimate(outputs, gradients, MEMORY if number else 0.0)
        for layer, gradient in enumerate(gradients):
            gradient.mul_(self.factors[layer]).mul_(bank.rates)
            bank.weights[layer].sub_(gradient)
            bank.biases[layer].sub_(deltas[layer].mean(1, keepdim=True) * bank.rates)

    def _estimate(self, outputs: list[Tensor], gradients: list[Tensor], keep: float) -> None:
        curved = self.method == "curvature"
        found = self._curvatures(outputs) if curved else [g.square() for g in gradients]
        for moment, new in zip(self.moments, found, strict=True):
            moment.mul_(keep).add_(new, alpha=1 - keep)
        sizes = [moment if curved else moment.sqrt() for moment in self.moments]
        mean = _mean(sizes)
        for factor, size in zip(self.factors, sizes, strict=True):
            torch.reciprocal(size + mean, out=factor)
        mean = _mean(self.factors)
        for factor in self.factors:
            factor.div_(mean)

    def _curvatures(self, outputs: list[Tensor]) -> list[Tensor]:
        """E[∂²C/∂w²] of every weight, from the curvature of the cost at the output downwards."""
        bank = self.bank
        chance = torch.softmax(outputs[-1], 2)
        curvature = chance * (1 - chance)
        found: list[Tensor] = []
        for layer in range(len(bank.weights) - 1, -1, -1):
            below = outputs[layer]
            found.insert(0, torch.bmm(curvature.mT, below.square()) / below.shape[1])
            if layer:
                slope = bank.activation.chain_(torch.ones_like(below), below)
                passed = torch.bmm(curvature, bank.weights[layer].square())
                curvature = passed.mul_(slope.square())
        return found


def _mean(tensors: list[Tensor]) -> Tensor:
    """Mean over all elements of each network's tensors, (N, 1, 1)."""
    total = torch.stack([t.sum((1, 2)) for t in tensors]).sum(0)
    count = sum(t[0].numel() for t in tensors)
    return (total / count).reshape(-1, 1, 1)
