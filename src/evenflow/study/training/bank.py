"""A bank: networks of one shape that advance together by plain gradient descent.

Every tensor has a leading axis N, one entry a network. On a processor N is 1 and the products are
ordinary ones; on a GPU, where a small network leaves most of the device idle, N networks cost
little more than one. The backward pass is written by hand: the moment ∂C/∂z of a layer is known
and has been passed down, the rank-B update is added to its weights in place, so that each matrix
is read twice and written once, and no gradient is ever stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from evenflow.study.training.activations import ACTIVATIONS, Activation


class Bank:
    """N networks with the same widths, activation and cost, each with its own learning rate.

    Letters: N networks, B examples of a mini-batch, i and o units of a layer's input and output.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        activation: str,
        cost: str,
        rates: Sequence[float],
        batch: int,
    ) -> None:
        """Take over ``weights``, one (N, o, i) a layer; biases start at zero.

        ``rates`` has one learning rate a network, ``batch`` is B. Buffers are made here, once.
        """
        self.weights = list(weights)
        self.activation: Activation = ACTIVATIONS[activation]
        self.cost = cost
        first = self.weights[0]
        count, device = first.shape[0], first.device
        self.biases = [w.new_zeros(count, 1, w.shape[1]) for w in self.weights]
        self.rates = torch.tensor(rates, dtype=first.dtype, device=device).reshape(count, 1, 1)
        widths = [first.shape[2], *(w.shape[1] for w in self.weights)]
        self.inputs = first.new_zeros(count, batch, widths[0])
        """(N, B, inputs): where the next mini-batch is written."""
        self.targets = first.new_zeros(count, batch, widths[-1])
        """(N, B, classes): its labels, one-hot."""
        self.losses = first.new_zeros(count)
        """(N,): the cost of the last step's mini-batch, before the step."""
        self._outputs = [self.inputs, *(first.new_empty(count, batch, n) for n in widths[1:])]
        self._deltas = [first.new_empty(count, batch, n) for n in widths[1:]]

    @torch.no_grad()
    def step(self) -> None:
        """One step of gradient descent on the mean cost of ``inputs`` and ``targets``."""
        delta = self._top(self.forward())
        # The learning rate enters once, at the top: everything below is linear in δ.
        delta.mul_(self.rates / self.inputs.shape[1])
        for layer in range(len(self.weights) - 1, -1, -1):
            below = self._outputs[layer]
            passed = self._passed_down(layer, delta, below) if layer else delta
            self.weights[layer].baddbmm_(delta.mT, below, alpha=-1)
            self.biases[layer].sub_(delta.sum(1, keepdim=True))
            delta = passed

    @torch.no_grad()
    def forward(self) -> list[Tensor]:
        """Outputs of every layer for ``inputs``, these themselves first; written over each time."""
        self._forward(self._outputs)
        return self._outputs

    @torch.no_grad()
    def backward(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """∂C/∂z of every layer for each example of the mini-batch, from what ``forward`` gave."""
        deltas = [self._top(outputs)]
        for layer in range(len(self.weights) - 1, 0, -1):
            deltas.insert(0, self._passed_down(layer, deltas[0], outputs[layer]))
        return deltas

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Outputs (N, examples, classes) before the softmax, for images (examples, inputs)."""
        return self.activations(images)[-1]

    @torch.no_grad()
    def activations(self, images: Tensor) -> list[Tensor]:
        """Outputs of every layer for images (examples, inputs), the inputs themselves first."""
        count = self.weights[0].shape[0]
        outputs = [images.expand(count, *images.shape)]
        outputs += [images.new_empty(count, len(images), w.shape[1]) for w in self.weights]
        self._forward(outputs)
        return outputs

    @torch.no_grad()
    def gradients(self, outputs: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """∂C/∂z of every layer for each example's own cost, lowest first.

        ``outputs`` are those of ``activations``, ``targets`` are one-hot, (examples, classes).
        """
        top = torch.empty_like(outputs[-1])
        deltas = [top]
        _differentiate(self.cost, outputs[-1], targets, top)
        for layer in range(len(self.weights) - 1, 0, -1):
            passed = torch.bmm(deltas[0], self.weights[layer])
            deltas.insert(0, self.activation.chain_(passed, outputs[layer]))
        return deltas

    def _forward(self, outputs: Sequence[Tensor]) -> None:
        last = len(self.weights) - 1
        layers = zip(self.weights, self.biases, itertools.pairwise(outputs), strict=True)
        for number, (weight, bias, (below, above)) in enumerate(layers):
            torch.baddbmm(bias, below, weight.mT, out=above)
            if number < last:
                self.activation.apply_(above)

    def _top(self, outputs: Sequence[Tensor]) -> Tensor:
        """∂C/∂z of the top layer for each example; the mean cost is noted."""
        delta = self._deltas[-1]
        costs = _differentiate(self.cost, outputs[-1], self.targets, delta)
        self.losses.copy_(costs.mean(1))
        return delta

    def _passed_down(self, layer: int, delta: Tensor, below: Tensor) -> Tensor:
        passed = torch.bmm(delta, self.weights[layer], out=self._deltas[layer - 1])
        return self.activation.chain_(passed, below)


def _differentiate(cost: str, outputs: Tensor, targets: Tensor, delta: Tensor) -> Tensor:
    """Write ∂C/∂z of the top layer into ``delta``; returns each example's cost, (N, B)."""
    if cost == "quadratic":
        torch.sub(outputs, targets, out=delta)
        return delta.square().sum(2).div_(2)
    torch.log_softmax(outputs, 2, out=delta)
    costs = (delta * targets).sum(2).neg_()
    delta.exp_().sub_(targets)
    return costs
