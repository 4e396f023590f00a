"""Thirty layers of width 256: what ``init_`` promises for each activation, measured.

``python benchmarks/initialise.py`` prints two tables: calibrated on noise (every layer against the
plan, on the calibration rows and on fresh ones), and uncalibrated ``auto`` (end to end, against the
price that the plan printed). One BLAS thread a process: two are slower on matrices this small.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import re
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

import evenflow as ef
from evenflow.torch.inputs import Call
from evenflow.torch.noise import noise_like, noise_rows

DEPTH, WIDTH = 30, 256
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "silu": F.silu,
    "selu": F.selu,
    "mish": F.mish,
    "elu": F.elu,
    "hardswish": F.hardswish,
    "softsign": F.softsign,
    "sin": torch.sin,
    "leaky_relu": F.leaky_relu,
    "abs-1/2": lambda x: x.abs() - 0.5,
}


class Stack(nn.Module):
    """Linear layers with one activation after each."""

    def __init__(self, activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


def pre_activations(model: Stack, x: torch.Tensor) -> list[float]:
    """Second moment of every layer's pre-activations."""
    found = []
    with torch.no_grad():
        for layer in model.layers:
            z = layer(x)
            found.append(float(z.double().square().mean()))
            x = model.activation(z)
    return found


def gradients(model: Stack, x: torch.Tensor, generator: torch.Generator) -> list[float]:
    """Second moment of the gradient at every layer's pre-activations, unit random cotangent."""
    kept = []
    for layer in model.layers:
        z = layer(x)
        z.retain_grad()
        kept.append(z)
        x = model.activation(z)
    x.backward(torch.randn(x.shape, generator=generator))
    return [float(z.grad.double().square().mean()) for z in kept if z.grad is not None]


def planned(model: Stack, call: Call) -> list[float]:
    """The plan's own second moments of the pre-activations, before calibration."""
    from evenflow.graph.propagate import propagate
    from evenflow.planning.build import build_plan
    from evenflow.torch.calibrate import planned_moments
    from evenflow.torch.names import ModelParameters
    from evenflow.torch.trace import trace
    from evenflow.torch.weights import input_moments

    parameters = ModelParameters(model)
    graph = trace(call, parameters).graph
    plan = build_plan(graph, "auto", calibrated=True)
    found = propagate(graph, planned_moments(plan, graph, parameters), input_moments(graph, call))
    return [found.forward[n.name].second for n in graph.nodes if n.op == "linear"]


def printed_interval(plan: ef.Plan) -> tuple[float, float] | None:
    """The interval on fresh noise that a calibrated plan printed, None where it printed none."""
    for note in plan.notes:
        if match := re.search(r"last layer at ([\d.e+-]+) to ([\d.e+-]+) times", note):
            return float(match[1]), float(match[2])
    return None


def printed_price(plan: ef.Plan) -> tuple[float, float]:
    """(forward, backward) ratios that an uncalibrated plan printed."""
    match = re.search(r"goes ×([\d.e+-]+) forwards.*?×([\d.e+-]+) backwards", plan.notes[0])
    assert match is not None
    return float(match[1]), float(match[2])


def calibrated(name: str, seeds: int) -> str:
    """One row: worst deviation from the plan on the calibration rows, fresh noise, time."""
    worst, fresh, seconds, covered = 0.0, [], [], 0
    interval = None
    for seed in range(seeds):
        model = Stack(ACTIVATIONS[name])
        x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1000 + seed))
        start = time.perf_counter()
        plan = ef.init_(model, x, seed=seed, calibrate="noise")
        seconds.append(time.perf_counter() - start)
        rows = noise_like(Call.of(x), torch.device("cpu"), seed, noise_rows(Call.of(x)))
        again = planned(model, rows)
        own = pre_activations(model, rows.args[0])
        worst = max(worst, *(abs(a / b - 1) for a, b in zip(own, again, strict=True)))
        other = torch.randn(512, WIDTH, generator=torch.Generator().manual_seed(5000 + seed))
        ratios = [a / b for a, b in zip(pre_activations(model, other), again, strict=True)]
        fresh.append(max(ratios, key=lambda r: abs(r - 1)))
        interval = printed_interval(plan)
        low, high = interval or (0.9, 1.1)
        covered += all(low <= r <= high for r in ratios)
    said = f"{interval[0]:.2g}–{interval[1]:.2g}" if interval else "0.9–1.1"
    return (
        f"{name:<11} {100 * worst:>8.3f} % {min(fresh):>8.2f}–{max(fresh):<6.2f} {said:>12} "
        f"{covered:>4}/{seeds:<4} {statistics.median(seconds):>7.2f} s"
    )


def uncalibrated(name: str, seeds: int) -> str:
    """One row: median end-to-end ratios over draws, against the printed price."""
    forward, backward = [], []
    price = (1.0, 1.0)
    for seed in range(seeds):
        model = Stack(ACTIVATIONS[name])
        generator = torch.Generator().manual_seed(2000 + seed)
        x = torch.randn(256, WIDTH, generator=generator)
        price = printed_price(ef.init_(model, x, seed=seed))
        z, d = pre_activations(model, x), gradients(model, x, generator)
        forward.append(z[-1] / z[0])
        backward.append(d[0] / d[-1])
    f, b = statistics.median(forward), statistics.median(backward)
    return (
        f"{name:<11} {f:>9.3g} {price[0]:>9.3g} {f / price[0]:>7.2f} "
        f"{b:>10.3g} {price[1]:>9.3g} {b / price[1]:>7.2f}"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=list(ACTIVATIONS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ef.init_(Stack(torch.relu), torch.randn(8, WIDTH))  # imports and compiles, untimed
    print(f"calibrated on noise, {DEPTH} layers of width {WIDTH}, {options.seeds} seeds")
    print(
        f"{'':<11} {'own rows':>10} {'fresh noise':>15} {'printed':>12} {'covered':>9} {'time':>9}"
    )
    for name in options.only:
        print(calibrated(name, options.seeds), flush=True)
    print(f"\nauto, uncalibrated, medians of {2 * options.seeds} draws: measured, printed, ratio")
    print(f"{'':<11} {'forward':>9} {'printed':>9} {'ratio':>7} {'backward':>10} {'printed':>9}")
    for name in options.only:
        print(uncalibrated(name, 2 * options.seeds), flush=True)


if __name__ == "__main__":
    main()
