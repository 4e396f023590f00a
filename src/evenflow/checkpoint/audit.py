"""``audit``: measure every tensor of a checkpoint by parts, beside what a plan wants of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from evenflow.checkpoint.measure import measured
from evenflow.checkpoint.read import open_checkpoint
from evenflow.checkpoint.stored import STORAGE, StoredTensor
from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.planning.scaling import second_moment
from evenflow.record.audit import Audit, Intent, TensorAudit

_ONE_OF = 1e-9
"""How rare an extreme must be before it counts as impossible."""

Progress = Callable[[int, int], None]
"""Told of bytes as they are measured, and of how many there are."""


def audit(path: Path, plan: Plan | None = None, progress: Progress = lambda *_: None) -> Audit:
    """Measure the checkpoint at ``path``, which may be larger than memory.

    ``plan`` is what its tensors were drawn by, if that is to be compared.

    Raises ``InputError`` for a checkpoint that cannot be read or contradicts itself, ``PlanError``
    where it lacks parameters of the plan or has them in other shapes.
    """
    tensors = open_checkpoint(path)
    entries = {} if plan is None else _entries(plan, tensors, path)
    floats = [tensor for tensor in tensors.values() if tensor.is_float]
    if not floats:
        raise InputError("it holds no floating-point tensors", where=str(path))
    total = sum(_bytes(tensor) for tensor in floats)
    first: dict[str, str] = {}
    found: list[TensorAudit] = []
    for tensor in floats:
        width = STORAGE[tensor.code].itemsize
        one, digest = measured(tensor, lambda n, w=width: progress(n * w, total))  # type: ignore[misc]
        if not one.constant and one.count > 1 and first.setdefault(digest, one.name) != one.name:
            one = replace(one, clone_of=first[digest])
        found.append(replace(one, intent=_intent(entries.get(one.name), one.count)))
    return Audit(
        model=path.name or str(path),
        layers=(),
        weights=(),
        inputs={},
        loss=None,
        trace=f"checkpoint: {len(tensors)} tensors, {len(found)} of them floating-point",
        stored=tuple(found),
        planned=plan is not None,
    )


def _bytes(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape) * STORAGE[tensor.code].itemsize


def _entries(plan: Plan, tensors: Mapping[str, StoredTensor], path: Path) -> dict[str, Entry]:
    """The plan's entries by the checkpoint's names, which may all begin with more ("model.")."""
    names = list(plan.entries)
    prefixes = ["", *sorted({n.removesuffix(names[0]) for n in tensors if n.endswith(names[0])})]
    prefix = max(prefixes, key=lambda p: sum(p + name in tensors for name in names))
    faults = []
    for name, entry in plan.entries.items():
        stored = tensors.get(prefix + name)
        if stored is None:
            faults.append(f"the checkpoint has no tensor {prefix + name}")
        elif stored.shape != entry.shape:
            faults.append(f"{stored.name} has shape {stored.shape}, in the plan {entry.shape}")
    if faults:
        raise PlanError(
            f"the plan does not fit the checkpoint in {len(faults)} places:\n  "
            + "\n  ".join(faults[:20] + ["…"] * (len(faults) > 20)),
            where=str(path),
            remedy="give the plan that it was initialised with, or leave --plan out",
        )
    return {prefix + name: entry for name, entry in plan.entries.items()}


def _intent(entry: Entry | None, count: int) -> Intent | None:
    if entry is None or entry.distribution is None:
        return None
    distribution = entry.distribution
    second = second_moment(distribution, entry.shape)
    limit, least = _extremes(distribution, count)
    return Intent(str(distribution), second, limit, least)


def _extremes(distribution: Distribution, count: int) -> tuple[float, float]:
    """Between what the greatest |w| / √E[w²] of ``count`` draws lies."""
    if isinstance(distribution, Blocks):
        parts = set(distribution.parts)
        return _extremes(parts.pop(), count) if len(parts) == 1 else (math.inf, 0.0)
    if isinstance(distribution, Constant):
        return 1.0, 0.0
    if isinstance(distribution, Uniform) and distribution.bound:
        return math.sqrt(3.0), _least(lambda t: max(0.0, 1 - t / math.sqrt(3.0)), count)
    if isinstance(distribution, Normal) and distribution.std:
        return math.inf, _least(lambda t: math.erfc(t / math.sqrt(2)), count)
    if isinstance(distribution, TruncatedNormal) and distribution.std:
        parent = distribution.parent_std / distribution.std
        beyond = partial(_beyond, cut=distribution.cut, parent=parent)
        return distribution.cut * parent, _least(beyond, count)
    return math.inf, 0.0


def _beyond(t: float, *, cut: float, parent: float) -> float:
    """P(|w| > t·std) of a truncated normal."""
    outside = math.erfc(cut / math.sqrt(2))
    return max(0.0, math.erfc(t / parent / math.sqrt(2)) - outside) / (1 - outside)


def _least(beyond: Callable[[float], float], count: int) -> float:
    """The t with (1 − P(|w| > t))^count = 10⁻⁹, by bisection; 0 for too few draws."""
    share = -math.log(_ONE_OF) / max(count, 1)
    if share >= 1:
        return 0.0
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > share else (low, middle)
    return low
