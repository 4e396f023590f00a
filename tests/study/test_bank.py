"""The hand-written step against plain autograd."""

import copy
import itertools

import pytest
import torch
from torch import nn

from evenflow.study.training.activations import ACTIVATIONS
from evenflow.study.training.bank import Bank
from evenflow.study.training.stepping import stepper

MODULES = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softsign": nn.Softsign,
    "relu": nn.ReLU,
    "linear": nn.Identity,
}
WIDTHS = (7, 13, 11, 5)
BATCH = 6


def weights(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, above, below, generator=generator, dtype=torch.float64) * below**-0.5
        for below, above in itertools.pairwise(WIDTHS)
    ]


def batches(count, steps):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(count, BATCH, WIDTHS[0], generator=generator, dtype=torch.float64)
        y = torch.randint(0, WIDTHS[-1], (count, BATCH), generator=generator)
        yield x, nn.functional.one_hot(y, WIDTHS[-1]).double()


def plain(matrices, activation):
    """The same network as a torch module."""
    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], dtype=matrix.dtype)
        layer.weight.data.copy_(matrix)
        nn.init.zeros_(layer.bias)
        layers += [layer, MODULES[activation]()]
    return nn.Sequential(*layers[:-1])


def cost_of(name, outputs, targets):
    if name == "quadratic":
        return (outputs - targets).square().sum(1).mean() / 2
    return nn.functional.cross_entropy(outputs, targets)


@pytest.mark.parametrize("cost", ["cross_entropy", "quadratic"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_network_of_a_bank_goes_the_way_of_autograd(activation, cost):
    rates = (0.1, 0.03)
    start = weights(2)
    bank = Bank(copy.deepcopy(start), activation, cost, rates, BATCH)
    models = [plain([matrix[n] for matrix in start], activation) for n in range(2)]
    optimisers = [
        torch.optim.SGD(model.parameters(), rate) for model, rate in zip(models, rates, strict=True)
    ]
    for x, y in batches(2, 20):
        bank.inputs.copy_(x)
        bank.targets.copy_(y)
        bank.step()
        for n, (model, optimiser) in enumerate(zip(models, optimisers, strict=True)):
            loss = cost_of(cost, model(x[n]), y[n])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            assert float(bank.losses[n]) == pytest.approx(float(loss.detach()), rel=1e-12)
    for n, model in enumerate(models):
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        for layer, matrix, bias in zip(linear, bank.weights, bank.biases, strict=True):
            torch.testing.assert_close(matrix[n], layer.weight.detach(), rtol=1e-11, atol=1e-13)
            torch.testing.assert_close(bias[n, 0], layer.bias.detach(), rtol=1e-11, atol=1e-13)


def test_gradients_are_those_of_each_examples_own_cost():
    start = weights(1)
    bank = Bank(copy.deepcopy(start), "tanh", "cross_entropy", (0.1,), BATCH)
    x, y = next(batches(1, 1))
    outputs = bank.activations(x[0])
    deltas = bank.gradients(outputs, y[0])
    sums = []
    z = x[0]
    for number, matrix in enumerate(start):
        z = (z @ matrix[0].mT).requires_grad_() if number == 0 else torch.tanh(z) @ matrix[0].mT
        z.retain_grad()
        sums.append(z)
    nn.functional.cross_entropy(z, y[0], reduction="sum").backward()
    for delta, z in zip(deltas, sums, strict=True):
        torch.testing.assert_close(delta[0], z.grad)
    torch.testing.assert_close(outputs[-1][0], sums[-1].detach())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is at hand")
def test_recorded_steps_on_a_gpu_are_those_of_the_processor():
    count = 3
    rates = (0.1, 0.03, 0.01)
    there = [matrix.cuda() for matrix in weights(count)]
    here = Bank(weights(count), "tanh", "cross_entropy", rates, BATCH)
    bank = Bank(there, "tanh", "cross_entropy", rates, BATCH)
    step = stepper(bank)
    for x, y in batches(count, 20):
        for each in (here, bank):
            each.inputs.copy_(x)
            each.targets.copy_(y)
        here.step()
        step()
    for one, other in zip(here.weights, bank.weights, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-9, atol=1e-12)
