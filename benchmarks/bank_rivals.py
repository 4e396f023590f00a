"""Other tools on the same labelled bank, each in the way that its own README shows.

    python benchmarks/bank_rivals.py [--half scored] [--from FOLDER]

An alarm is whatever a tool gives at its warning level or above; an error, at its level above that.
On faulty trainings any alarm counts as found, whatever it names: what the tools say is not sorted
into causes. A tool that isn't installed is named and left out; ``--from`` is a folder with packages
of such tools (``pip install --target``), so that the environment need not hold them.

- torchmortem watches the training: ``Autopsy(model, optimizer=…)`` with its default sampling.
- torch-audit watches it too: ``autopatch(model, optimizer=…)`` with static and first checks, at
  every tenth step (its default of 1000 is longer than these trainings).
- torchtest2 runs ``check_model`` on one batch, with the training's loss and optimiser, before it;
  that includes 200 steps on this batch alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from tests.bank.halves import bank, halves
from tests.bank.setups import Case

LEVELS = ("nothing", "warning", "error")


def torchmortem(case: Case, seed: int) -> str:
    """Gravest finding of a watched training."""
    from torchmortem import Autopsy

    made: list[Any] = []

    class Watched(Autopsy):
        def step(self, loss: torch.Tensor) -> None:
            super().step(loss=float(loss.detach()))

    def watch(model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> Autopsy:
        made.append(Watched(model, optimizer=optimiser))
        return made[0]

    case.setup.train(case.setup.model(seed), seed, watch)
    named = {"CRITICAL": "error", "WARNING": "warning"}
    return _gravest(named.get(f.severity.name, "nothing") for f in made[0].get_report().findings)


def torch_audit(case: Case, seed: int) -> str:
    """Gravest finding of a watched training."""
    from torch_audit import autopatch

    made: list[Any] = []

    class Watched:
        def __init__(self, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
            made.append(autopatch(model, optimizer=optimiser, every_n_steps=10))

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: Any) -> None:
            made[0].unpatch()

        def step(self, loss: torch.Tensor) -> None:
            """It counts the optimiser's steps by itself."""

    case.setup.train(case.setup.model(seed), seed, Watched)
    named = {"FATAL": "error", "ERROR": "error", "WARN": "warning"}
    findings = made[0].finish().findings
    return _gravest(named.get(f.severity.name, "nothing") for f in findings)


def torchtest2(case: Case, seed: int) -> str:
    """Gravest result of the checks on one batch."""
    from torchtest2 import check_model

    setup = case.setup
    model = setup.model(seed)
    optimiser = setup.optimiser(p for p in setup.optimised(model) if p.requires_grad)
    x, y = setup.first_batch(seed)
    report = check_model(model, x, y, loss_fn=setup.criterion, optimizer=optimiser)
    return "error" if report.failures else "warning" if report.warnings else "nothing"


TOOLS: dict[str, Callable[[Case, int], str]] = {
    "torchmortem": torchmortem,
    "torch-audit": torch_audit,
    "torchtest2": torchtest2,
}


@dataclass(frozen=True)
class Said:
    """How grave what a tool said of a case was."""

    case: Case
    level: str
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=("setting", "scored"), default="scored")
    parser.add_argument("--from", dest="folder", default="", help="where the tools are installed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=int, default=1, help="every so many cases only")
    asked = parser.parse_args()
    sys.path.append(asked.folder)
    cases = halves()[asked.half == "scored"][:: asked.part]
    numbers = {case.name: number for number, case in enumerate(bank())}
    print("| tool | recall | false alarms: error | warning or error | seconds each |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in TOOLS:
        version = _version(name)
        if not version:
            print(f"| {name} | is not installed |||")
            continue
        with ProcessPoolExecutor(2, initializer=sys.path.append, initargs=(asked.folder,)) as pool:
            jobs = [pool.submit(_said, name, numbers[case.name], asked.seed) for case in cases]
            said = [Said(case, *job.result()) for case, job in zip(cases, jobs, strict=True)]
        _row(f"{name} {version}", said)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _said(name: str, number: int, seed: int) -> tuple[str, float]:
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = TOOLS[name](bank()[number], seed)
    return level, time.process_time() - began


def _row(name: str, said: list[Said]) -> None:
    shown = [s.level != "nothing" for s in said if s.case.course]
    sound = [s.level for s in said if not s.case.faulty]
    errors, alarms = [s == "error" for s in sound], [s != "nothing" for s in sound]
    seconds = sum(s.seconds for s in said) / len(said)
    print(f"| {name} | {_share(shown)} | {_share(errors)} | {_share(alarms)} | {seconds:.1f} |")


def _share(true: list[bool]) -> str:
    return f"{sum(true) / len(true):.2f} ({sum(true)}/{len(true)})"


def _gravest(levels: Iterable[str]) -> str:
    return max(levels, key=LEVELS.index, default="nothing")


if __name__ == "__main__":
    main()
