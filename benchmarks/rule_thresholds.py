"""How much of the signal a network may lose before it stops learning.

    python benchmarks/rule_thresholds.py

Trains multilayer perceptrons of width 128 on scikit-learn's digits for 600 steps of 64, under
PyTorch's default (ReLU) and the old heuristic (tanh), 3 to 30 layers deep, and prints beside the
share of the signal that is left at the last hidden layer the loss that SGD (momentum 0.9, the
better of two learning rates) and Adam (1e-3) end at. Chance is log 10 = 2.30. The thresholds of
the rules EF101, EF105 and EF201 were read off this table.
"""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_digits
from torch import nn

import evenflow as ef
from evenflow.diagnose.path import path
from evenflow.diagnose.rules.forward import signal_left

STEPS, BATCH, WIDTH = 600, 64, 128
DEPTHS = (3, 4, 5, 7, 10, 15, 20, 25, 30)


def network(depth: int, activation: type[nn.Module], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(WIDTH if i else 64, WIDTH), activation()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    if activation is nn.Tanh:
        for layer in model:
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.weight, -bound, bound)
                nn.init.zeros_(layer.bias)
    return model


def train(
    model: nn.Module, optimiser: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> float:
    """Mean loss of the last 20 steps."""
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(STEPS):
        rows = torch.randint(0, len(x), (BATCH,), generator=generator)
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return sum(losses[-20:]) / 20


def main() -> None:
    torch.set_num_threads(1)
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    print("network         signal left   SGD    Adam")
    for activation in (nn.ReLU, nn.Tanh):
        for depth in DEPTHS:
            report = ef.check(network(depth, activation, 0), x[:256], y[:256], "cross_entropy")
            left, distinct = signal_left(path(report.record))
            sgd = min(_ends(activation, depth, rate, x, y) for rate in (0.03, 0.1))
            adam = _ends(activation, depth, None, x, y)
            name = f"{depth:2d} {activation.__name__} layers"
            print(f"{name:16s}  {left * distinct:8.1e}   {sgd:5.2f}  {adam:5.2f}", flush=True)


def _ends(
    activation: type[nn.Module],
    depth: int,
    rate: float | None,
    x: torch.Tensor,
    y: torch.Tensor,
) -> float:
    """Loss after training with SGD at ``rate``, or with Adam."""
    model = network(depth, activation, 0)
    parameters = model.parameters()
    if rate is None:
        return train(model, torch.optim.Adam(parameters, 1e-3), x, y)
    return train(model, torch.optim.SGD(parameters, rate, momentum=0.9), x, y)


if __name__ == "__main__":
    main()
