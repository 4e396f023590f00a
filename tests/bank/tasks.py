"""Tasks: what is learned in the bank. All data come with scikit-learn, or are made on the spot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from sklearn import datasets

Tensor = torch.Tensor
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """Inputs, targets and the loss that fits them."""

    name: str
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Loss
    inputs: int
    """Features of one example (or of one of its positions)."""
    outputs: int


def score(loss: Loss, output: Tensor, target: Tensor) -> float:
    """How well outputs fit: 0 for the best constant guess, 1 for no error, whatever the loss."""
    if not torch.isfinite(output).all():
        return 0.0
    if loss in (F.cross_entropy, F.nll_loss):
        right = float((output.argmax(1) == target).double().mean())
        usual = float(target.flatten().bincount().max()) / target.numel()
        return max(0.0, (right - usual) / (1 - usual)) if usual < 1 else 0.0
    if loss in (F.binary_cross_entropy_with_logits, F.binary_cross_entropy):
        middle = 0.0 if loss is F.binary_cross_entropy_with_logits else 0.5
        truth = target > 0.5
        right = float(((output > middle) == truth).double().mean())
        usual = max(float(truth.double().mean()), 1 - float(truth.double().mean()))
        return max(0.0, (right - usual) / (1 - usual)) if usual < 1 else 0.0
    error = float(((output - target) ** 2).mean())
    return max(0.0, 1 - error / float(target.var(0).mean()))


def _standard(x: np.ndarray) -> Tensor:
    values = torch.tensor(x, dtype=torch.float32)
    return (values - values.mean(0)) / (values.std(0) + 1e-3)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    found = datasets.load_digits()
    pixels = torch.tensor(found.data / 16, dtype=torch.float32)
    return pixels, torch.tensor(found.target)


def _whitened(pixels: Tensor) -> Tensor:
    return (pixels - pixels.mean()) / pixels.std()


def _flat() -> tuple[Tensor, Tensor]:
    x, y = _digits()
    return _whitened(x), y


def _images() -> tuple[Tensor, Tensor]:
    x, y = _flat()
    return x.view(-1, 1, 8, 8), y


def _unscaled_images() -> tuple[Tensor, Tensor]:
    x, y = _digits()
    return x.view(-1, 1, 8, 8), y


def _rows() -> tuple[Tensor, Tensor]:
    x, y = _flat()
    return x.view(-1, 8, 8), y


def _copies() -> tuple[Tensor, Tensor]:
    x, _ = _flat()
    return x, x


def _pictures() -> tuple[Tensor, Tensor]:
    x, _ = _digits()
    images = x.view(-1, 1, 8, 8)
    return images, images


def _bits() -> tuple[Tensor, Tensor]:
    x, _ = _digits()
    return x, (x > 0.5).float()


def _table(name: str) -> Callable[[], tuple[Tensor, Tensor]]:
    @cache
    def load() -> tuple[Tensor, Tensor]:
        found = getattr(datasets, f"load_{name}")()
        x = _standard(found.data)
        if name == "diabetes":
            return x, _standard(found.target[:, None])
        if name == "breast_cancer":
            return x, torch.tensor(found.target, dtype=torch.float32)[:, None]
        return x, torch.tensor(found.target)

    return load


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def _teacher() -> tuple[Tensor, Tensor]:
    """What a small random network says of normal inputs."""
    g = _generator(1)
    x = torch.randn(1024, 20, generator=g)
    hidden = torch.tanh(x @ torch.randn(20, 8, generator=g) / 20**0.5)
    y = hidden @ torch.randn(8, 4, generator=g)
    return x, (y - y.mean(0)) / y.std(0)


@cache
def _waves() -> tuple[Tensor, Tensor]:
    """A curve over the line."""
    x = torch.rand(1024, 1, generator=_generator(2)) * 4 - 2
    y = torch.sin(2 * x) + 0.3 * x
    return x, (y - y.mean()) / y.std()


@cache
def _rings() -> tuple[Tensor, Tensor]:
    """Three rings around each other."""
    g = _generator(3)
    label = torch.randint(0, 3, (1200,), generator=g)
    radius = 0.5 + label + 0.15 * torch.randn(1200, generator=g)
    angle = 2 * math.pi * torch.rand(1200, generator=g)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    return x / x.std(), label


@cache
def _switches() -> tuple[Tensor, Tensor]:
    """Four yes-or-no questions about sixteen numbers."""
    g = _generator(4)
    x = torch.randn(1024, 16, generator=g)
    return x, (x @ torch.randn(16, 4, generator=g) > 0).float()


@cache
def _sums() -> tuple[Tensor, Tensor]:
    """The sum of those of twelve numbers that are marked."""
    g = _generator(5)
    numbers = torch.randn(1500, 12, generator=g)
    marks = (torch.rand(1500, 12, generator=g) < 0.3).float()
    y = (numbers * marks).sum(1, keepdim=True)
    return torch.stack([numbers, marks], 2), (y - y.mean()) / y.std()


@cache
def _signs() -> tuple[Tensor, Tensor]:
    """Whether the first of sixteen noisy numbers was positive."""
    g = _generator(6)
    x = 0.3 * torch.randn(1200, 16, 2, generator=g)
    label = torch.randint(0, 2, (1200,), generator=g)
    x[:, :2, 0] += 2.0 * label[:, None] - 1
    x[:, :2, 1] += 1
    return x, label


VOCABULARY = 12


@cache
def _chain() -> tuple[Tensor, Tensor]:
    """Tokens of a Markov chain, and the one that follows each."""
    g = _generator(7)
    chances = torch.softmax(3 * torch.randn(VOCABULARY, VOCABULARY, generator=g), 1)
    tokens = [torch.randint(0, VOCABULARY, (600,), generator=g)]
    for _ in range(16):
        tokens.append(torch.multinomial(chances[tokens[-1]], 1, generator=g)[:, 0])
    together = torch.stack(tokens, 1)
    return together[:, :-1], together[:, 1:]


@cache
def _majority() -> tuple[Tensor, Tensor]:
    """Which of four tokens comes most often among noise."""
    g = _generator(8)
    label = torch.randint(0, 4, (1200,), generator=g)
    tokens = torch.randint(0, VOCABULARY, (1200, 12), generator=g)
    told = torch.rand(1200, 12, generator=g) < 0.5
    return torch.where(told, label[:, None], tokens), label


bce = F.binary_cross_entropy_with_logits
DIGITS = Task("digits", _flat, F.cross_entropy, 64, 10)
PIXELS = Task("pixels", _digits, F.cross_entropy, 64, 10)
IMAGES = Task("images", _images, F.cross_entropy, 1, 10)
UNSCALED_IMAGES = Task("pixel images", _unscaled_images, F.cross_entropy, 1, 10)
ROWS = Task("rows", _rows, F.cross_entropy, 8, 10)
WINE = Task("wine", _table("wine"), F.cross_entropy, 13, 3)
CANCER = Task("cancer", _table("breast_cancer"), bce, 30, 1)
DIABETES = Task("diabetes", _table("diabetes"), F.mse_loss, 10, 1)
TEACHER = Task("teacher", _teacher, F.mse_loss, 20, 4)
WAVES = Task("waves", _waves, F.mse_loss, 1, 1)
RINGS = Task("rings", _rings, F.cross_entropy, 2, 3)
SWITCHES = Task("switches", _switches, bce, 16, 4)
SUMS = Task("sums", _sums, F.mse_loss, 2, 1)
SIGNS = Task("signs", _signs, F.cross_entropy, 2, 2)
CHAIN = Task("chain", _chain, F.cross_entropy, VOCABULARY, VOCABULARY)
MAJORITY = Task("majority", _majority, F.cross_entropy, VOCABULARY, 4)
COPIES = Task("copies", _copies, F.mse_loss, 64, 64)
PICTURES = Task("pictures", _pictures, F.mse_loss, 1, 1)
BITS = Task("bits", _bits, bce, 64, 64)
