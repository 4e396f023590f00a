"""Score the rules on the labelled bank: recall, false alarms, causes, steps to the verdict.

    python benchmarks/calibrate.py [--half setting|scored|both] [--every 10] [--rivals FOLDER]

Each training of ``tests/bank`` is checked before its first step (``ef.check``), then trained under
``ef.watch``. One half of the bank sets thresholds, the other is only scored
(``tests/bank/halves.py``). An alarm is a finding of level warning or above; it is right where the
first finding, the root cause of the gravest, is one that the label names. The step of a verdict is
the first sample from which on the rules give it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from tests.bank.halves import bank, halves
from tests.bank.setups import Case

import evenflow as ef
from evenflow.diagnose import Diagnosis
from evenflow.diagnose.training import diagnose_run
from evenflow.record.run import Readings, Run


@dataclass(frozen=True)
class Verdict:
    """What was said of one case: codes and levels of root causes, the first first."""

    told: tuple[tuple[str, str], ...] = ()
    step: int = -1
    """From which on the first one leads; −1 where there is none."""
    skipped: str = ""

    def alarm(self, level: str = "warning") -> bool:
        """Whether anything of ``level`` or above was said."""
        return any(said in ("error", level) for _, said in self.told)

    def right(self, causes: Sequence[str]) -> bool:
        """Whether what was said first is one of ``causes``."""
        return self.alarm() and self.told[0][0] in causes


@dataclass(frozen=True)
class Scored:
    """A case and what was said of it."""

    number: int
    """Of the case in the bank."""
    start: Verdict
    course: Verdict
    seconds: float

    @property
    def case(self) -> Case:
        """The case."""
        return bank()[self.number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=("setting", "scored", "both"), default="both")
    parser.add_argument("--every", type=int, default=10, help="steps between samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--cases", action="store_true", help="what was said of each case, too")
    asked = parser.parse_args()
    setting, scored = halves()
    chosen = {"setting": (setting,), "scored": (scored,), "both": (setting, scored)}[asked.half]
    names = ["setting", "scored"] if asked.half == "both" else [asked.half]
    for name, half in zip(names, chosen, strict=True):
        cases = [case for case in half if asked.only in case.name]
        results = score(cases, asked.every, asked.seed)
        print(f"\n## The {name} half: {len(cases)} trainings, {_seconds(results):.0f} s of CPU\n")
        print_table(results)
        if asked.cases or asked.only:
            print_cases(results)


def score(cases: Iterable[Case], every: int, seed: int) -> list[Scored]:
    """Check and train each case, on two processes."""
    numbers = {case.name: number for number, case in enumerate(bank())}
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(_scored, numbers[case.name], every, seed) for case in cases]
        return [job.result() for job in jobs]


def _scored(number: int, every: int, seed: int) -> Scored:
    torch.set_num_threads(1)
    logging.getLogger("evenflow.watch").disabled = True
    began = time.process_time()
    case = bank()[number]
    start = _checked(case, seed)
    with tempfile.TemporaryDirectory() as folder:
        course = verdict_of(recorded(case, every, seed, folder))
    return Scored(number, start, course, time.process_time() - began)


def _checked(case: Case, seed: int) -> Verdict:
    x, y = case.setup.first_batch(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            report = ef.check(case.setup.model(seed), x, y, case.setup.criterion)
        except Exception as error:
            return Verdict(skipped=f"{type(error).__name__}: {error}")
    return Verdict(_roots(report.diagnosis), 0)


def recorded(case: Case, every: int, seed: int, folder: str) -> Run:
    """The run of a watched training."""
    watches = []

    def watch(model, optimiser):
        watches.append(ef.watch(model, optimizer=optimiser, every=every, out=folder))
        return watches[0]

    case.setup.train(case.setup.model(seed), seed, watch)
    return watches[0].run()


def verdict_of(run: Run) -> Verdict:
    """What the rules say in the end, and since when the first of it has stood first."""
    told = _roots(diagnose_run(run))
    step = -1
    if told:
        for samples in range(len(run.steps), 0, -1):
            earlier = _roots(diagnose_run(until(run, samples)))
            if not earlier or earlier[0][0] != told[0][0]:
                break
            step = int(run.steps[samples - 1])
    failed = [o.skipped for o in diagnose_run(run).outcomes if "failed" in o.skipped]
    return Verdict(told, step, "; ".join(failed))


def _roots(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    loud = diagnosis.at_or_above("warning")
    return tuple((f.code, f.level) for f in loud if not f.follows)


def until(run: Run, samples: int) -> Run:
    """The run as it was after so many samples."""

    def part(readings: Readings) -> Readings:
        return Readings(readings.values[:samples], readings.cells[:samples])

    last = int(run.steps[samples - 1])
    series = ("steps", "loss", "loss_low", "loss_high", "learning_rate", "norm_before")
    return replace(
        run,
        **{name: getattr(run, name)[:samples] for name in (*series, "norm_after")},
        **{name: part(getattr(run, name)) for name in ("forward", "backward", "gradients")},
        events=tuple(event for event in run.events if event.step <= last),
        total_steps=last + 1,
    )


def print_table(results: Sequence[Scored]) -> None:
    """The whole half, then fault by fault, then rule by rule."""
    faulty = [r for r in results if r.case.faulty]
    sound = [r for r in results if not r.case.faulty]
    shown = [r for r in faulty if r.case.course]
    early = [r for r in faulty if r.case.start]
    drawn = [r for r in faulty if r.case.fault.kind == "initialisation"]
    print("| | cases | recall | right cause first |\n| --- | ---: | ---: | ---: |")
    _row("in training: faults that it can show", shown, lambda r: (r.course, r.case.course))
    _row("before the first step: initialisation", drawn, lambda r: (r.start, r.case.start))
    _row("before the first step: all that shows", early, lambda r: (r.start, r.case.start))
    print("\n| false alarms on sound trainings | cases | error | warning or error |")
    print("| --- | ---: | ---: | ---: |")
    for words, verdict in (("in training", "course"), ("before the first step", "start")):
        said = [getattr(r, verdict) for r in sound]
        errors, alarms = _share(v.alarm("error") for v in said), _share(v.alarm() for v in said)
        print(f"| {words} | {len(said)} | {errors} | {alarms} |")
    print("\n| rule | labelled | recall | right cause first | false alarms | steps (median) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for code in _codes(results):
        _rule(code, faulty, sound)


def _row(words: str, cases: Sequence[Scored], said: Callable) -> None:
    recall = _share(said(r)[0].alarm() for r in cases)
    right = _share(said(r)[0].right(said(r)[1]) for r in cases)
    print(f"| {words} | {len(cases)} | {recall} | {right} |")


def _rule(code: str, faulty: Sequence[Scored], sound: Sequence[Scored]) -> None:
    """Of the cases that the rule may lead: how many have an alarm, and a right one."""
    when = "course" if code >= "EF7" else "start"
    asked = [r for r in faulty if code in getattr(r.case, when)]
    verdicts = [(getattr(r, when), getattr(r.case, when)) for r in asked]
    recall = _share(v.alarm() for v, _ in verdicts)
    right = _share(v.right(causes) for v, causes in verdicts)
    false = sum(any(code == told for told, _ in getattr(r, when).told) for r in sound)
    steps = [v.step for v, causes in verdicts if v.right(causes) and v.told[0][0] == code]
    typical = f"{np.median(steps):.0f}" if steps and when == "course" else "–"
    print(f"| {code} | {len(asked)} | {recall} | {right} | {false} | {typical} |")


def _codes(results: Sequence[Scored]) -> list[str]:
    labelled = {c for r in results if r.case.faulty for c in (*r.case.start, *r.case.course)}
    told = {code for r in results for v in (r.start, r.course) for code, _ in v.told}
    return sorted(labelled | told)


def _share(true: Iterable[bool]) -> str:
    values = list(true)
    return f"{sum(values) / len(values):.2f} ({sum(values)}/{len(values)})" if values else "–"


def _seconds(results: Sequence[Scored]) -> float:
    return sum(r.seconds for r in results)


def print_cases(results: Sequence[Scored]) -> None:
    """What was said of each, with a mark where it is not what the label asks for."""
    for r in results:
        start, course = r.case.start, r.case.course
        marks = [
            _mark(v, causes, r.case.faulty) for v, causes in ((r.start, start), (r.course, course))
        ]
        print(f"{marks[0]}{marks[1]} {r.seconds:4.1f} s  {r.case.name}")
        for v in (r.start, r.course):
            print(
                f"      {v.step:4d}  {' '.join(f'{c}:{level}' for c, level in v.told)} {v.skipped}"
            )


def _mark(verdict: Verdict, causes: Sequence[str], faulty: bool) -> str:
    if faulty and causes:
        return "." if verdict.right(causes) else "~" if verdict.alarm() else "x"
    return "!" if verdict.alarm() and not faulty else "."


if __name__ == "__main__":
    main()
