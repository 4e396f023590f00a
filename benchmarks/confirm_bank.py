"""Confirm the labels of the bank by training alone, without a watch and without any rule.

    python benchmarks/confirm_bank.py [--seeds 3] [--only WORDS] [--all]

A sound training has to bring its loss down to ``FALLEN`` of where it began, under every seed. A
faulty one has to end clearly worse than its twin, in which the named cause is mended: the error of
its answers (1 for the best constant guess), or the part of its loss that is left, has to be
``TIMES`` that of the twin and ``GAP`` above, under every seed; and the twin has to be sound. Prints
what does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from tests.bank.halves import bank
from tests.bank.setups import Case, Setup

FALLEN, GAP, TIMES = 0.75, 0.1, 1.5


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    share: float
    """Loss at the end beside that at the start."""
    score: float

    @property
    def learned(self) -> bool:
        """Whether the loss fell as that of a sound training does."""
        return self.share <= FALLEN

    def worse(self, twin: Outcome) -> bool:
        """Whether it ended clearly worse than its twin."""
        pairs = ((1 - self.score, 1 - twin.score), (self.share, twin.share))
        return any(own >= max(TIMES * other, other + GAP) for own, other in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--all", action="store_true", help="print those that hold, too")
    asked = parser.parse_args()
    numbers = [number for number, case in enumerate(bank()) if asked.only in case.name]
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(outcomes, number, asked.seeds) for number in numbers]
        found = [job.result() for job in jobs]
    held = 0
    for number, (own, twin) in zip(numbers, found, strict=True):
        case = bank()[number]
        holds = confirmed(case, own, twin)
        held += holds
        if asked.all or not holds:
            print(f"{'holds' if holds else 'FAILS'}  {case.name}  {_told(own)}  twin {_told(twin)}")
    print(f"{held} of {len(numbers)} labels confirmed under {asked.seeds} seeds")


def outcomes(number: int, seeds: int) -> tuple[list[Outcome], list[Outcome]]:
    """Of a case and of its twin, one for each seed."""
    torch.set_num_threads(1)
    case = bank()[number]
    own = [_trained(case.setup, seed) for seed in range(seeds)]
    return own, [_trained(case.twin, seed) for seed in range(seeds) if case.faulty]


def confirmed(case: Case, own: Sequence[Outcome], twin: Sequence[Outcome]) -> bool:
    """Whether the training bears the label out."""
    if not case.faulty:
        return all(each.learned for each in own)
    pairs = zip(own, twin, strict=True)
    return all(mended.learned and each.worse(mended) for each, mended in pairs)


def _trained(setup: Setup, seed: int) -> Outcome:
    model = setup.model(seed)
    losses = setup.train(model, seed)
    start, end = np.mean(losses[:3]), np.mean(losses[-len(losses) // 10 :])
    return Outcome(float(end / start), setup.score(model))


def _told(some: Sequence[Outcome]) -> str:
    return " ".join(f"{each.share:.2f}/{each.score:.2f}" for each in some) or "none"


if __name__ == "__main__":
    main()
