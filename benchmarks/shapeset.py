"""How fast Shapeset-3×2 is made, and what it is made of: ``python benchmarks/shapeset.py``.

Images a second of one core's time, in batches of 10 as training asks for them, in blocks of 1,000,
and from the plain Python form that the kernel is tested against; by turns, the median round counts.
Then the figures of 300,000 images beside those that are known of the authors' generator.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from evenflow.sampling.contract import key
from evenflow.study.data import Stream, load
from evenflow.study.data.shapeset import CLASSES, PRIORS
from evenflow.study.data.shapeset_kernel import fill

sys.path.append(str(Path(__file__).parents[1] / "tests" / "study" / "data"))
from shapeset_reference import example

PROMISED = 300_000
"""Images a second."""
ROUNDS = 15
COUNT = 300_000


def main() -> None:
    print_speed()
    print_figures()


def print_speed() -> None:
    online = load("shapeset").train
    assert isinstance(online, Stream)
    stream = online.stream
    sides = {
        "batches of 10": (10_000, lambda start: stream(start, 10), 10),
        "blocks of 1,000": (10_000, lambda start: stream(start, 1000), 1000),
        "plain Python": (100, lambda start: example(0, start), 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, (count, make, each) in sides.items():
            begin = time.process_time()
            for start in range(0, count, each):
                make(start)
            if turn:  # the first compiles
                seconds[name].append(time.process_time() - begin)
    print(f"one core, median of {ROUNDS} rounds       images/s   best round   promised")
    for name, (count, _, _) in sides.items():
        median, best = statistics.median(seconds[name]), min(seconds[name])
        promised = f"{PROMISED:>10,}" if name != "plain Python" else ""
        print(f"  {name:<28} {count / median:>12,.0f} {count / best:>12,.0f} {promised}")


def print_figures() -> None:
    levels, labels = np.empty((COUNT, 1024), np.uint8), np.empty(COUNT, np.int64)
    rejections = fill(levels, labels, 0, key(0, "shapeset"), np.arange(256, dtype=np.uint8))
    share = sum(np.bincount(part, minlength=256) for part in levels) / levels.size
    pixels = np.arange(256) / 255
    mean = float(share @ pixels)
    frequencies = np.bincount(labels, minlength=9) / COUNT
    print(f"\n{COUNT:,} images                          measured     known")
    for name, measured, known in (
        ("error of the commonest class", 1 - frequencies.max(), "0.8333"),
        ("mean of pixels", mean, "0.499"),
        ("sd of pixels", float(np.sqrt(share @ (pixels - mean) ** 2)), "0.306"),
        ("rejections an image", rejections / COUNT, "0.48"),
        *(
            (name, frequency, f"{prior:.4f}")
            for name, frequency, prior in zip(CLASSES, frequencies, PRIORS, strict=True)
        ),
    ):
        print(f"  {name:<36} {measured:.4f}    {known}")


if __name__ == "__main__":
    main()
