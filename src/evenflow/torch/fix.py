"""Fix: initialise a copy of a network by a plan, and see whether that helps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch

from evenflow.diagnose.finding import LEVELS, Diagnosis
from evenflow.errors import InputError
from evenflow.planning.plan import Plan
from evenflow.report.comparison import Comparison, TrainingCurve, Trial
from evenflow.report.report import Report
from evenflow.torch.api import check, init_
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss, LossFunction, main_output
from evenflow.torch.train import RATES, Examples, Progress, Training, copied, seeded

BATCH = 32
"""Examples a step where a whole data set is given."""
_ACCURACIES = 20
"""How often the test accuracy is taken."""


def fix(
    model: torch.nn.Module,
    batch: Any,
    target: Any = None,
    loss: str | LossFunction | None = None,
    *,
    data: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    scheme: str = "auto",
    steps: int = 100,
    batch_size: int = BATCH,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Try ``scheme`` on a copy of ``model``: check both, train both briefly, compare.

    ``batch``, ``target``, ``loss``, ``select``, ``ignore`` and ``seed`` are those of ``check``.
    Both versions train for ``steps`` steps of plain stochastic gradient descent on ``data``
    (inputs, target; ``batch_size`` examples a step), or else on the whole batch in every step.
    They see the same examples in the same order and the same dropout masks; the learning rate of
    each is the best of the same seven, found by the same short search. ``test`` (inputs, classes)
    adds test accuracies. Without a loss they learn to reproduce fixed standard normal numbers,
    which asks whether the network can be trained at all.

    The fix **helped** if both hold, and is recommended only then:

    - the check finds less: fewer errors, or as many errors and fewer warnings, or as many of both
      and fewer notes;
    - the loss at the end of training (its mean over the last tenth of the steps) is not above that
      of the unchanged network by more than twice the standard error of the difference.

    ``model``, its gradients and torch's random state are left exactly as they were. Raises
    ``InputError`` for whatever ``check`` and ``plan`` refuse, and for a model that can't be copied.
    """
    tell = progress or _silent
    versions = copied(model), copied(model)
    plan = init_(versions[1], batch, scheme, seed=seed)

    def checked(version: torch.nn.Module) -> Report:
        with seeded(seed, version):
            return check(version, batch, target, loss, select=select, ignore=ignore, seed=seed)

    reports = []
    for done, version in enumerate(versions):
        tell("checking", done, 2, math.nan)
        reports.append(checked(version))
    tell("checking", 2, 2, math.nan)
    training = _training(
        versions[0], batch, target, loss, data, test, steps=steps, size=batch_size, seed=seed
    )
    rates = _rates(training, versions, tell)
    before, after = (
        Trial(report.record, report.diagnosis, curve)
        for report, curve in zip(
            reports, _side_by_side(training, versions, rates, tell), strict=True
        )
    )
    change = _change(plan, training, rates)
    return Comparison(before, after, change, helped(before, after), seed)


def helped(before: Trial, after: Trial) -> bool:
    """Whether ``after`` has less severe findings and trains no worse (see ``fix``)."""
    if _severity(after.diagnosis) >= _severity(before.diagnosis):
        return False
    if not math.isfinite(before.curve.final_loss) or not math.isfinite(after.curve.final_loss):
        return math.isfinite(after.curve.final_loss)
    error = math.hypot(before.curve.error, after.curve.error)
    return after.curve.final_loss <= before.curve.final_loss + 2 * error


def _severity(diagnosis: Diagnosis) -> tuple[int, ...]:
    """Numbers of errors, warnings and notes."""
    levels = [finding.level for finding in diagnosis.findings]
    return tuple(levels.count(level) for level in reversed(LEVELS))


def _training(
    model: torch.nn.Module,
    batch: Any,
    target: Any,
    loss: str | LossFunction | None,
    data: tuple[Any, Any] | None,
    test: tuple[Any, Any] | None,
    *,
    steps: int,
    size: int,
    seed: int,
) -> Training:
    """The training that both versions go through."""
    if steps < 1 or size < 1:
        raise InputError(f"steps = {steps} and batch_size = {size} must both be at least 1")
    function = Loss.of(loss)
    tested = Examples(Call.of(test[0]), test[1]) if test else None
    if data is not None:
        if function is None:
            raise InputError(
                "data to train on needs a loss", remedy="pass loss=, for example cross_entropy"
            )
        examples = Examples(Call.of(data[0]), data[1])
        task = f"on {examples.count} examples, {size} a step, by the {function.kind} loss"
        return Training(examples, function, task, steps, seed, size, tested)
    call = Call.of(batch)
    task = "on the given batch"
    if function is None:
        output = main_output(call.run(model))
        generator = torch.Generator().manual_seed(seed)
        target = torch.randn(output.shape, generator=generator).to(output)
        function = Loss("mse", torch.nn.functional.mse_loss)
        task = "to reproduce random numbers, as no loss was given"
    return Training(Examples(call, target), function, task, steps, seed, None, tested)


def _rates(
    training: Training, versions: tuple[torch.nn.Module, ...], tell: Progress
) -> tuple[float, ...]:
    """The best learning rate of each version."""
    names = ("learning rate, as it is", "learning rate, with the plan")

    def search(name: str, version: torch.nn.Module) -> float:
        return training.best_rate(version, lambda done, of: tell(name, done, of, math.nan))

    return tuple(map(search, names, versions))


def _side_by_side(
    training: Training,
    versions: tuple[torch.nn.Module, ...],
    rates: tuple[float, ...],
    tell: Progress,
) -> list[TrainingCurve]:
    """Train both in turns, a step each, so that whoever watches sees them side by side."""
    names = ("training, as it is", "training, with the plan")
    losses: list[list[float]] = [[], []]
    accuracies: list[dict[int, float]] = [{}, {}]
    runs = [training.run(m, rate) for m, rate in zip(versions, rates, strict=True)]
    every = max(1, training.steps // _ACCURACIES)
    for step in itertools.count(1):
        going = [next(run, None) for run in runs]
        if all(value is None for value in going):
            break
        for k, value in enumerate(going):
            if value is None:
                continue
            losses[k].append(value)
            tell(names[k], step, training.steps, value)
            if training.test is not None and (step % every == 0 or step in (1, training.steps)):
                accuracies[k][step] = training.accuracy(versions[k])
    return [
        TrainingCurve(tuple(range(1, len(run) + 1)), tuple(run), tuple(at), tuple(at.values()))
        for run, at in zip(losses, accuracies, strict=True)
    ]


def _change(plan: Plan, training: Training, rates: tuple[float, ...]) -> str:
    drawn = sum(entry.distribution is not None for entry in plan.entries.values())
    return (
        f"{drawn} of {len(plan)} parameters drawn anew by the scheme {plan.scheme} with seed "
        f"{plan.seed}. Both versions trained {training.steps} steps of plain SGD {training.task}, "
        f"each at the best of the same {len(RATES)} learning rates: {rates[0]:g} as it is, "
        f"{rates[1]:g} with the plan."
    )


def _silent(_stage: str, _done: int, _of: int, _loss: float) -> None:
    """Tell nobody."""
