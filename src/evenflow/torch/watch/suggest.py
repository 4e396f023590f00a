"""Suggest: try changes on copies of the model, and recommend what helped."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from evenflow.diagnose.finding import Finding
from evenflow.errors import InputError
from evenflow.planning.plan import Plan
from evenflow.report.comparison import TrainingCurve
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss, main_output
from evenflow.torch.train import copied, seeded
from evenflow.torch.watch.changes import Change, changes_for

Optimiser = torch.optim.Optimizer
Batch = tuple[Call, Any]
_RATE = 0.01
"""Of plain gradient descent, where no optimiser is known."""
_AS_IT_IS = Change("", "")


@dataclass(frozen=True)
class Attempt:
    """One change, and how a copy trained with it."""

    change: str
    """What was changed, in words."""
    patch: str
    """The same as code, to read."""
    curve: TrainingCurve
    helped: bool
    """Whether the loss fell, and is lower than without, by more than two standard errors each."""
    plan: Plan | None = None
    """To apply with ``plan.apply_(model)``, where weights were drawn anew."""


@dataclass(frozen=True)
class Suggestion:
    """What was found, how the training goes on as it is, and how it does with each change."""

    finding: Finding | None
    """The gravest root cause; None where nothing was found, and nothing tried."""
    before: TrainingCurve
    attempts: tuple[Attempt, ...]

    @property
    def recommended(self) -> Attempt | None:
        """The change that led to the lowest loss; None where none helped."""
        helped = [attempt for attempt in self.attempts if attempt.helped]
        return min(helped, key=lambda attempt: attempt.curve.final_loss, default=None)

    def __str__(self) -> str:
        if self.finding is None:
            return "Nothing was found, so nothing was tried."
        said = f"{self.finding.code} {self.finding.name} at {self.finding.where}"
        lines = [
            f"{said}: {self.finding.measured}",
            "",
            f"  {self.before.final_loss:<10.4g} as it is",
        ]
        for attempt in self.attempts:
            mark = "helped" if attempt.helped else "did not help"
            lines.append(f"  {attempt.curve.final_loss:<10.4g} {attempt.change}: {mark}")
        best = self.recommended
        lines += ["", best.patch if best else "Nothing that was tried helped."]
        return "\n".join(lines)


def suggest(
    model: nn.Module,
    optimisers: Sequence[Optimiser],
    finding: Finding | None,
    data: Iterable[tuple[Any, Any]],
    loss: Any,
    *,
    steps: int,
    seed: int,
) -> Suggestion:
    """Try what may mend ``finding`` (see ``Watch.suggest``)."""
    function = Loss.of(loss)
    if function is None or steps < 1:
        raise InputError("suggest needs a loss, and at least one step", remedy="pass loss=")
    if finding is None:
        return Suggestion(None, TrainingCurve((), ()), ())
    with _random_state_kept():
        batches = [(Call.of(x), y) for x, y in itertools.islice(data, steps)]
        if not batches:
            raise InputError("the data hold no batch", remedy="pass batches of (inputs, target)")
        before, _ = _trained(model, optimisers, _AS_IT_IS, function, batches, steps, seed)
        rate = float(optimisers[0].param_groups[0]["lr"]) if optimisers else _RATE
        attempts = []
        for change in changes_for(finding.code, model, function, rate):
            curve, plan = _trained(model, optimisers, change, function, batches, steps, seed)
            # Another loss is no measure of the first one: it only has to fall.
            falls, lower = _lower(curve, _first(curve)), _lower(curve, before)
            helped = falls and (lower or change.loss is not None)
            attempts.append(Attempt(change.words, change.patch, curve, helped, plan))
    return Suggestion(finding, before, tuple(attempts))


def _trained(
    model: nn.Module,
    optimisers: Sequence[Optimiser],
    change: Change,
    loss: Loss,
    batches: Sequence[Batch],
    steps: int,
    seed: int,
) -> tuple[TrainingCurve, Plan | None]:
    """A copy of the model, changed and trained; its losses end where they are no numbers."""
    version = copied(model)
    twins = {id(p): twin for p, twin in zip(model.parameters(), version.parameters(), strict=True)}
    with seeded(seed, version):
        plan = change.make(version, batches[0][0])
    own = [_again(optimiser, twins, version, change.rate) for optimiser in optimisers]
    own = own or [torch.optim.SGD(version.parameters(), lr=_RATE * change.rate)]
    criterion, losses = change.loss or loss, list[float]()
    for step, (call, target) in enumerate(itertools.islice(itertools.cycle(batches), steps)):
        with seeded(seed + step, version), torch.enable_grad():
            for optimiser in own:
                optimiser.zero_grad()
            output = version(*call.args, **call.kwargs)
            value = criterion.function(
                output if criterion.kind == "custom" else main_output(output), target
            )
            losses.append(float(value.detach()))
            if not math.isfinite(losses[-1]):
                losses[-1] = math.inf
                break
            value.backward()  # type: ignore[no-untyped-call]
            for optimiser in own:
                optimiser.step()
    return TrainingCurve(tuple(range(1, len(losses) + 1)), tuple(losses)), plan


def _again(
    optimiser: Optimiser,
    twins: dict[int, nn.Parameter],
    version: nn.Module,
    factor: float,
) -> Optimiser:
    """An optimiser of the same kind and settings, without memory, for a changed copy.

    Parameters that the change brought along go to its first group.
    """
    groups = [
        {**group, "params": [twins[id(p)] for p in group["params"] if id(p) in twins]}
        for group in optimiser.param_groups
    ]
    known = {id(twin) for twin in twins.values()}
    groups[0]["params"] += [p for p in version.parameters() if id(p) not in known]
    for group in groups:
        group["lr"] = group["lr"] * factor
    try:
        return type(optimiser)(groups)  # type: ignore[call-arg]
    except Exception as error:
        raise InputError(
            f"another {type(optimiser).__name__} cannot be made: {type(error).__name__}: {error}",
            remedy="changes are tried on copies, with an optimiser of the same kind",
        ) from error


def _lower(curve: TrainingCurve, beside: TrainingCurve) -> bool:
    """Whether a loss is lower by more than two standard errors of the difference."""
    if not math.isfinite(curve.final_loss):
        return False
    error = math.hypot(curve.error, beside.error if math.isfinite(beside.final_loss) else 0.0)
    return curve.final_loss + 2 * error < beside.final_loss


def _first(curve: TrainingCurve) -> TrainingCurve:
    return TrainingCurve(curve.steps[:1], curve.losses[:1])


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Python's and NumPy's generators, which loaders may draw from, and torch's."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
