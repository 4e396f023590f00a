"""Residual branches: how large each may be, so that the stream that they add to stays level.

Each of the L branches of a stream may add 1/L of the second moment that the stream carries there:
then L of them multiply it by (1 + 1/L)^L < e at most, and a gradient on its way back likewise.
What the branches and the stream carry comes from the derivation of the plan itself. Where every
branch is as large as the stream, as in a pre-norm transformer of L/2 blocks, this is the factor
1/√L on its last weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from evenflow.errors import InputError
from evenflow.graph.moments import Moments
from evenflow.planning.distributions import Constant, Distribution
from evenflow.planning.plan import Entry
from evenflow.planning.residual import Sum
from evenflow.planning.scaling import rescaled

Residual = Literal["depth-scaled", "zero-last", "none"]

_ROUNDS = 6
"""Branches feed one another through the stream: a few rounds settle all of their factors."""
_SETTLED = 0.01


def require_residual(name: str) -> Residual:
    """``name`` as one of the choices; ``InputError`` if it is none."""
    for choice in get_args(Residual):
        if name == choice:
            return choice  # type: ignore[no-any-return]
    raise InputError(
        f"there is no residual scaling {name!r}",
        remedy=f"choose one of {', '.join(get_args(Residual))}",
    )


def scaled_branches(
    entries: Mapping[str, Entry],
    sums: tuple[Sum, ...],
    ahead: Callable[[Mapping[str, Entry]], Mapping[str, Moments]],
    residual: Residual,
) -> dict[str, Entry]:
    """``entries`` with the parameter at the end of each branch scaled as ``residual`` says."""
    given = dict(entries)
    ends: dict[str, list[Sum]] = {}
    for each in sums:
        if _can_scale(given, each):
            ends.setdefault(each.end, []).append(each)
    if residual == "none" or not ends:
        return given
    if residual == "zero-last":
        why = "ends a residual branch: zero, so that the block starts as the identity"
        return given | {
            end: replace(given[end], distribution=Constant(0.0), why=why) for end in ends
        }
    factors = {end: own[0].branches ** -0.5 for end, own in ends.items()}
    for _ in range(_ROUNDS):
        known = ahead(_with(given, factors, ends))
        updated = {
            end: min(_allowed(known, each, factor, len(ends[end])) for each in ends[end])
            for end, factor in factors.items()
        }
        change = max(abs(updated[end] / factors[end] - 1) for end in ends)
        factors = updated
        if change < _SETTLED:
            break
    return _with(given, factors, ends)


def _can_scale(entries: Mapping[str, Entry], each: Sum) -> bool:
    entry = entries.get(each.end)
    return each.branches > 1 and entry is not None and entry.distribution is not None


def _allowed(known: Mapping[str, Moments], each: Sum, factor: float, uses: int) -> float:
    """The factor that makes the branch 1/L of its stream, but never one that amplifies it. A branch
    that the same weight has added before adds to that: what counts is by how much the stream
    grows."""
    branch, skip, total = (known.get(name) for name in (each.branch, each.skip, each.node))
    if branch is None or skip is None or branch.second <= 0 or skip.second <= 0:
        return 1 / math.sqrt(each.branches)
    added = branch.second
    if uses > 1 and total is not None:
        added = max(added, total.second - skip.second)
    share = skip.second / (each.branches * added)
    return min(factor * math.sqrt(share), 1.0)


def _with(
    entries: Mapping[str, Entry], factors: Mapping[str, float], ends: Mapping[str, Sequence[Sum]]
) -> dict[str, Entry]:
    found = dict(entries)
    for end, factor in factors.items():
        distribution: Distribution | None = entries[end].distribution
        assert distribution is not None
        count = ends[end][0].branches
        why = (
            f"{entries[end].why}; ends one of {count} residual branches, which may "
            f"each add 1/{count} of what the stream carries, so scaled by {factor:.3g}"
        )
        found[end] = replace(entries[end], distribution=rescaled(distribution, factor), why=why)
    return found
