"""How fast a study trains: updates of the paper's network against a plain loop, and the floor.

    python benchmarks/study_training.py               # on the processor, one thread and two
    python benchmarks/study_training.py --device cuda # 1, 8 and 64 networks together

Five hidden tanh layers of 1000 units, mini-batches of ten, plain gradient descent. The plain loop
is ``nn.Sequential`` with ``torch.optim.SGD``. Both sides take turns, so that a machine that slows
down slows both; medians count, and the quartiles tell of stalls: no round is dropped. The floor is
the arithmetic at the rate of a large matrix product, measured in the same run; on a GPU, the
traffic of the weights (read twice, written once) at the rate of a large copy.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from evenflow.study.training.bank import Bank
from evenflow.study.training.stepping import stepper

INPUTS, WIDTH, DEPTH, CLASSES, BATCH = 1024, 1000, 5, 9, 10
WIDTHS = (INPUTS, *(WIDTH,) * DEPTH, CLASSES)
WEIGHTS = sum(a * b for a, b in itertools.pairwise(WIDTHS))
FLOP = 6 * BATCH * WEIGHTS - 2 * BATCH * INPUTS * WIDTH
"""Three products of every weight matrix, but no gradient is passed down to the input."""
RATE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        on_gpu(arguments.rounds)
    else:
        for threads in (1, 2):
            on_processor(threads, arguments.rounds)


def on_processor(threads: int, rounds: int) -> None:
    """Print a row: plain, ours, their ratio, and the floor."""
    torch.set_num_threads(threads)
    plain, ours, floor = alternate([plain_step("cpu"), our_step(1, "cpu"), product()], rounds)
    limit = FLOP / (2 * SIDE**3) * statistics.median(floor)
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    print(
        f"{threads} thread{'s' * (threads > 1)}: plain {said(plain)} ms, evenflow {said(ours)} ms, "
        f"{ratio:.2f}× (median of ratios), floor {1e3 * limit:.2f} ms ({FLOP / 1e6:.0f} MFLOP)"
    )


def on_gpu(rounds: int) -> None:
    """Print updates a second for several numbers of networks, and the limit of the memory."""
    block = torch.empty(2**28, device="cuda")
    other = torch.empty_like(block)
    for count in (1, 8, 64):
        ours, copy = alternate([our_step(count, "cuda"), lambda: other.copy_(block)], rounds)
        speed = 2 * block.nbytes / statistics.median(copy)
        limit = speed / (3 * 4 * WEIGHTS)
        rate = count / statistics.median(ours)
        print(f"{count:3} networks: {rate:,.0f} updates a second, {rate / limit:.0%} of the limit")


SIDE = 1500


def product() -> Callable[[], object]:
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    out = torch.empty(SIDE, SIDE)
    return lambda: torch.mm(a, b, out=out)


def plain_step(device: str) -> Callable[[], object]:
    layers: list[nn.Module] = []
    for below, above in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(below, above), nn.Tanh()]
    model = nn.Sequential(*layers[:-1]).to(device)
    optimiser = torch.optim.SGD(model.parameters(), RATE)
    x = torch.rand(BATCH, INPUTS, device=device)
    y = torch.randint(0, CLASSES, (BATCH,), device=device)

    def step() -> None:
        loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def our_step(count: int, device: str) -> Callable[[], object]:
    weights = [
        torch.empty(count, above, below, device=device).uniform_(-(below**-0.5), below**-0.5)
        for below, above in itertools.pairwise(WIDTHS)
    ]
    bank = Bank(weights, "tanh", "cross_entropy", [RATE] * count, BATCH)
    bank.inputs.uniform_()
    bank.targets[..., 0] = 1
    return stepper(bank)


def alternate(steps: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds a step of each, round by round."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, taken in zip(steps, times, strict=True):
            step()
            _wait()
            start = time.perf_counter()
            for _ in range(10):
                step()
            _wait()
            taken.append((time.perf_counter() - start) / 10)
    return times


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def said(seconds: list[float]) -> str:
    low, middle, high = (1e3 * q for q in statistics.quantiles(seconds, n=4))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
