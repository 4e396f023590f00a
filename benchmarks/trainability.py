"""Does it train? Five deep networks under five initialisations, on handwritten digits.

For each network and initialisation: the mean training loss over the last tenth of a fixed number
of steps of SGD with momentum 0.9, at the best of five learning rates (found with the first seed),
as the median and the range of five seeds.

    python benchmarks/trainability.py [--only NAME …] [--steps N] [--seeds N]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import evenflow as ef

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
BATCH = 64


def tanh_perceptron() -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 128), nn.Tanh()]
    for _ in range(28):
        layers += [nn.Linear(128, 128), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def plain_convolutions() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, padding=1), nn.Tanh()]
    for _ in range(28):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


class ResidualPerceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(64, 64), nn.Linear(64, 10)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(100)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x.flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return self.end(x)


class PostNormTransformer(nn.Module):
    """Twenty-four layers over the eight rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(8, 48), nn.Linear(48, 10)
        self.place = nn.Parameter(torch.randn(8, 48))
        layers = [
            nn.TransformerEncoderLayer(48, 2, 96, dropout=0.0, batch_first=True) for _ in range(24)
        ]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x.flatten(1, 2)) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.end(x.mean(1))


class DeepLSTM(nn.Module):
    """Eight layers over the eight rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.end = nn.LSTM(8, 48, num_layers=8, batch_first=True), nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.lstm(x.flatten(1, 2))[0][:, -1])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "30 tanh layers": tanh_perceptron,
    "30 convolutions": plain_convolutions,
    "100 residual blocks": ResidualPerceptron,
    "24 post-norm layers": PostNormTransformer,
    "8 LSTM layers": DeepLSTM,
}


def lsuv(model: nn.Module, batch: torch.Tensor, seed: int) -> None:
    """Orthogonal weights, then layer by layer unit variance of the outputs (Mishkin & Matas)."""
    torch.manual_seed(seed)
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

    def rescale(module: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        scale = output.detach().std()
        module.weight.data /= scale
        return output / scale

    hooks = [layer.register_forward_hook(rescale) for layer in layers]
    was = model.training
    with torch.no_grad():
        model.train()(batch)  # not the fused path, which calls no hooks
    model.train(was)
    for hook in hooks:
        hook.remove()


def initialised(
    build: Callable[[], nn.Module], how: str, seed: int, batch: torch.Tensor
) -> nn.Module:
    torch.manual_seed(seed)
    model = build()
    if how == "lsuv":
        lsuv(model, batch, seed)
    elif how != "default":
        ef.init_(model, batch, how, seed=seed)
    return model


def train(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, rate: float, steps: int, seed: int
) -> float:
    """Mean loss over the last tenth of the steps; infinite once it is not finite."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(0, len(x), (BATCH,), generator=generator)
        loss = F.cross_entropy(model(x[chosen]), y[chosen])
        if not math.isfinite(loss.item()):
            return math.inf
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last = losses[-max(steps // 10, 1) :]
    return sum(last) / len(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None]
    x, y = (x - x.mean()) / x.std(), torch.tensor(digits.target)
    print(f"loss after {options.steps} steps: median of {options.seeds} seeds (range) at best rate")
    for name, build in NETWORKS.items():
        if options.only and not any(word in name for word in options.only):
            continue
        for how in ("auto", "default", "glorot", "he", "lsuv"):

            def run(rate: float, seed: int, build=build, how=how) -> float:  # type: ignore[no-untyped-def]
                model = initialised(build, how, seed, x[:BATCH])
                return train(model, x, y, rate, options.steps, seed)

            tried = {rate: run(rate, 0) for rate in RATES}
            best = min(tried, key=lambda rate: tried[rate])
            found = sorted([tried[best], *(run(best, seed) for seed in range(1, options.seeds))])
            print(
                f"{name:20} {how:8} {found[len(found) // 2]:8.4f} "
                f"({found[0]:.4f} to {found[-1]:.4f}) at rate {best:g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
