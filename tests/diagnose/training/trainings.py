"""Small trainings, sound and faulty, on the bundled digits: name, and what makes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import evenflow as ef
from evenflow.record.run import Run

STEPS, BATCH = 160, 32


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised images, and classes."""
    found = load_digits()
    x = torch.tensor(found.data, dtype=torch.float32)
    return (x - x.mean(0)) / (x.std(0) + 0.1), torch.tensor(found.target)


@dataclass(frozen=True)
class Training:
    """A training that can be run."""

    model: Callable[[], nn.Module]
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy
    inputs: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    targets: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda x, y: y
    clip: float | None = None

    def run(self, out: Path, steps: int = STEPS, every: int = 4) -> Run:
        """Train with a watch; the run."""
        torch.manual_seed(0)
        model = self.model()
        optimiser = self.optimiser(model)
        x, y = digits()
        generator = torch.Generator().manual_seed(0)
        with (
            warnings.catch_warnings(),
            ef.watch(model, optimizer=optimiser, every=every, out=out) as w,
        ):
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(steps):
                rows = torch.randint(0, len(x), (BATCH,), generator=generator)
                images = self.inputs(x[rows])
                loss = self.loss(model(images), self.targets(images, y[rows]))
                loss.backward()
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                optimiser.step()
                optimiser.zero_grad()
                w.step(loss=loss)
        return w.run()


def perceptron(activation=nn.ReLU, depth=4, width=48, out=10, norm=False, end=()):
    layers, n = [], 64
    for _ in range(depth):
        layers += [nn.Linear(n, width), *([nn.BatchNorm1d(width)] if norm else []), activation()]
        n = width
    return nn.Sequential(*layers, nn.Linear(n, out), *end)


def sgd(rate=0.1):
    return lambda m: torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=rate)


def adam(rate=1e-3):
    return lambda m: torch.optim.Adam(m.parameters(), lr=rate)


def with_weights(write, **how):
    """A perceptron whose linear layers ``write`` has changed."""

    def make():
        model = perceptron(**how)
        with torch.no_grad():
            for k, layer in enumerate(m for m in model if isinstance(m, nn.Linear)):
                write(k, layer)
        return model

    return make


def small(_number, layer):
    """Weights that leave a fiftieth of the signal to the next layer."""
    nn.init.normal_(layer.weight, 0, 0.02)
    nn.init.zeros_(layer.bias)


def of_rank_one(_number, layer):
    """Rows that are multiples of one another."""
    rows, columns = torch.randn(layer.out_features, 1), torch.randn(1, layer.in_features)
    layer.weight.copy_(0.1 * rows @ columns)
    nn.init.zeros_(layer.bias)


def initialised(**how):
    """A perceptron with evenflow's own weights."""

    def make():
        model = perceptron(**how)
        ef.init_(model, torch.zeros(4, 64))
        return model

    return make


class Detached(nn.Module):
    """Its first layer never hears of the loss."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)).detach())


def frozen(*numbers):
    def make():
        model = perceptron()
        for number in numbers:
            model[number].requires_grad_(False)
        return model

    return make


def conv():
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)),
    )


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(8, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x):
        return self.out(self.cell(x.view(-1, 8, 8))[0][:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.start, self.end = nn.Linear(8, 16), nn.Linear(16, 10)
        self.body = nn.TransformerEncoder(layer, 2)

    def forward(self, x):
        return self.end(self.body(self.start(x.view(-1, 8, 8))).mean(1))


HEALTHY = {
    "relu, sgd": Training(perceptron, sgd()),
    "relu, adam": Training(perceptron, adam()),
    "tanh, sgd": Training(initialised(activation=nn.Tanh, depth=6), sgd(0.05)),
    "gelu, adam": Training(lambda: perceptron(nn.GELU, 3), adam(3e-3)),
    "batch norm": Training(lambda: perceptron(depth=6, norm=True), sgd()),
    "clipped at 1": Training(perceptron, sgd(), clip=1.0),
    "convolutional": Training(conv, adam(3e-3)),
    "recurrent": Training(Recurrent, adam(1e-2)),
    "attention": Training(Attending, adam(3e-3)),
    "auto-encoder": Training(
        lambda: nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64)),
        adam(3e-3),
        F.mse_loss,
        targets=lambda x, y: x,
    ),
    "logistic, shallow": Training(lambda: perceptron(nn.Sigmoid, 1), adam(1e-2)),
    "two classes": Training(
        lambda: perceptron(depth=2, out=1),
        adam(3e-3),
        lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y),
        targets=lambda x, y: (y > 4).float(),
    ),
}

FAULTY = {
    "EF701": [
        Training(perceptron, sgd(10.0)),
        Training(perceptron, adam(0.3)),
        Training(lambda: perceptron(nn.Tanh), sgd(20.0)),
    ],
    "EF702": [Training(perceptron, sgd(1e-6)), Training(perceptron, adam(1e-8))],
    "EF703": [Training(perceptron, sgd(), clip=1e-3)],
    "EF704": [
        Training(Detached, sgd()),
        Training(frozen(0), sgd()),
        Training(frozen(4), sgd()),
        Training(perceptron, lambda m: torch.optim.SGD(m[:4].parameters(), lr=0.1)),
    ],
    "EF705": [
        Training(lambda: perceptron(end=(nn.Softmax(-1),)), sgd()),
        Training(lambda: perceptron(end=(nn.ReLU(),)), sgd()),
        Training(lambda: perceptron(out=1), sgd(), targets=lambda x, y: y * 0),
        Training(perceptron, sgd(0.01), F.nll_loss),
        Training(
            lambda: perceptron(nn.Tanh, out=64, end=(nn.ReLU(),)),
            adam(),
            F.mse_loss,
            targets=lambda x, y: x,
        ),
        Training(
            lambda: perceptron(out=1, end=(nn.Sigmoid(),)),
            sgd(),
            lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y),
            targets=lambda x, y: (y > 4).float(),
        ),
    ],
    "EF706": [
        Training(
            lambda: perceptron(out=1),
            adam(),
            lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y),
            targets=lambda x, y: (y > 4) * 255.0,
        ),
        Training(
            lambda: perceptron(depth=2, out=1),
            sgd(0.01),
            F.mse_loss,
            targets=lambda x, y: 1000.0 * y[:, None],
        ),
    ],
    "EF707": [
        Training(lambda: perceptron(nn.Tanh), sgd(), inputs=lambda x: 255 * x),
        Training(perceptron, sgd(), inputs=lambda x: x + 300),
    ],
    "EF710": [
        Training(lambda: perceptron(nn.Tanh, 20), sgd()),
        Training(lambda: perceptron(nn.Sigmoid, 8), sgd()),
        Training(with_weights(small, depth=6), sgd()),
        Training(with_weights(lambda k, m: nn.init.normal_(m.weight), depth=5), sgd()),
    ],
    "EF711": [
        Training(
            with_weights(lambda k, m: nn.init.normal_(m.weight, 0, 2), activation=nn.Tanh), sgd()
        ),
    ],
    "EF712": [
        Training(
            with_weights(lambda k, m: nn.init.constant_(m.weight, 0.01), activation=nn.Tanh),
            sgd(),
        ),
        Training(with_weights(lambda k, m: nn.init.zeros_(m.weight)), sgd()),
    ],
    "EF805": [
        Training(
            with_weights(lambda k, m: nn.init.normal_(m.weight, 0, 2), activation=nn.Tanh, out=64),
            sgd(0.001),
            F.mse_loss,
            targets=lambda x, y: x,
        ),
    ],
    "EF806": [
        Training(with_weights(lambda k, m: nn.init.constant_(m.bias, -10)), sgd()),
    ],
    "EF808": [Training(with_weights(of_rank_one, activation=nn.Tanh), sgd(1e-3))],
}
