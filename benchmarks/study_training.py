"""How fast a study trains: updates of the paper's network against a plain loop, and the floor.

    python benchmarks/study_training.py             # on the processor, one thread and two
    python benchmarks/study_training.py --together  # 1, 8 and 64 networks side by side on a GPU

Five hidden tanh layers of 1000 units, mini-batches of ten, plain gradient descent. The plain loop
is ``nn.Sequential`` with ``torch.optim.SGD``. Both sides take turns, so that a machine that slows
down slows both; medians count, and the quartiles tell of stalls: no round is dropped. The floor is
the arithmetic at the rate of a large matrix product, measured in the same run; for networks side by
side, the traffic of the weights (read twice, written once) at the rate of a large copy.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from evenflow.study.data import load
from evenflow.study.networks import Network
from evenflow.study.training.bank import Bank
from evenflow.study.training.run import Course
from evenflow.study.training.stepping import stepper
from evenflow.study.trial import OPENING, Trial

INPUTS, WIDTH, DEPTH, CLASSES, BATCH = 1024, 1000, 5, 9, 10
WIDTHS = (INPUTS, *(WIDTH,) * DEPTH, CLASSES)
WEIGHTS = sum(a * b for a, b in itertools.pairwise(WIDTHS))
FLOP = 6 * BATCH * WEIGHTS - 2 * BATCH * INPUTS * WIDTH
"""Three products of every weight matrix, but no gradient is passed down to the input."""
RATE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--device", default="cuda", help="of networks side by side")
    parser.add_argument("--networks", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    if not arguments.together:
        for threads in (1, 2):
            on_processor(threads, arguments.rounds)
    elif arguments.device == "cuda" and not torch.cuda.is_available():
        print("no GPU is at hand: nothing measured (--device cpu tries the same on the processor)")
    else:
        together(arguments.device, arguments.networks, arguments.rounds)


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


def together(device: str, counts: list[int], rounds: int) -> None:
    """Print updates a second for several numbers of networks, and the limit of the memory.

    Once with the batch left where it is, once with a new one each step, as in a study.
    """
    block = torch.empty(COPIED, device=device)
    other = torch.empty_like(block)
    for count in counts:
        course = whole(count, device)
        ours, fed, copy = alternate(
            [our_step(count, device), lambda c=course: c.advance(1), lambda: other.copy_(block)],
            rounds,
        )
        limit = 2 * block.nbytes / statistics.median(copy) / (3 * 4 * WEIGHTS)
        rates = [count / statistics.median(seconds) for seconds in (ours, fed)]
        print(
            f"{count:3} networks on {device}: {rates[0]:,.0f} updates a second, "
            f"{rates[0] / limit:.0%} of the memory's {limit:,.0f}; "
            f"{rates[1]:,.0f} with their data, {rates[1] / limit:.0%}"
        )


COPIED = 2**26
"""Floats of a large copy."""


def whole(count: int, device: str) -> Course:
    """Trainings of ``count`` seeds on Shapeset, looked at before the first update alone."""
    network = Network(hidden=(WIDTH,) * DEPTH, activation="tanh", scheme="glorot")
    trials = [
        Trial(
            data="shapeset",
            network=network,
            rate=RATE,
            updates=10**9,
            seed=seed,
            evaluations=1,
            observations=1,
            test_images=10,
            jacobians=0,
        )
        for seed in range(count)
    ]
    course = Course(trials, [load("shapeset", seed=seed) for seed in range(count)], device)
    course.advance(OPENING[-1] + 1)  # past the looks at the opening
    return course


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
