"""Levelled: weights scaled so that blocks of different size keep the squared norm of an example.

The rule from fans and gains keeps the second moment of elements. Where the number of elements
changes, or something else than an activation stands between two weights (a pool, a gate, an
attention), the norms of activations and gradients then drift apart, which the derivation tells.

Scaling a weight moves the norm F of what comes after it and the gradient's norm B of what comes
before it, but no product c = F·B, so both can be level only where c is. Else F is given a share of
what c changes, log F = share · log c + constant, and B the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import fmean

from evenflow.graph.graph import Graph
from evenflow.graph.propagate import Derivation
from evenflow.planning.levels import LEVEL, gradient_bound, span, squared_norms
from evenflow.planning.plan import Entry
from evenflow.planning.scaling import rescaled
from evenflow.planning.stages import Stage, chains, is_plain

_ROUNDS = 8
_SETTLED = 0.05

Deriving = Callable[[Mapping[str, Entry]], Derivation]


def levelled(
    graph: Graph,
    entries: Mapping[str, Entry],
    stages: tuple[Stage, ...],
    derive: Deriving,
    loudest: float,
) -> dict[str, Entry]:
    """``entries`` with the weights of stages scaled where the norms of their blocks would drift.

    ``loudest`` is the largest second moment that elements at the end of a block may have: the
    operating point of the activations.
    """
    found = dict(entries)
    for chain in chains(stages):
        levers = [place for place in chain if _drawn(entries, stages[place])]
        if all(is_plain(graph, stages, place) for place in levers):
            continue
        found = _Chain(graph, stages, chain, tuple(levers), loudest).levelled(found, derive)
    return found


def _drawn(entries: Mapping[str, Entry], stage: Stage) -> bool:
    entry = entries.get(stage.weight)
    return entry is not None and entry.distribution is not None


@dataclass(frozen=True)
class _Chain:
    """Stages that lead to one another, and those among them whose weight can be scaled."""

    graph: Graph
    stages: tuple[Stage, ...]
    places: tuple[int, ...]
    levers: tuple[int, ...]
    loudest: float

    def levelled(self, given: dict[str, Entry], derive: Deriving) -> dict[str, Entry]:
        """``given`` with the weights scaled, if that is needed and if it helps."""
        norms = _Norms.of(self, derive(given))
        if norms is None or norms.excess <= 1:
            return given
        best, least, logs = given, norms.excess, dict.fromkeys(self.levers, 0.0)
        for _ in range(_ROUNDS):
            step = self._step(norms)
            logs = {place: logs[place] + step[place] for place in self.levers}
            entries = self._scaled(given, logs)
            norms = _Norms.of(self, derive(entries))
            if norms is None:
                break
            if norms.excess < (1 - _SETTLED) * least:
                best, least = entries, norms.excess
            if max(abs(each) for each in step.values()) < _SETTLED:
                break
        return best

    def _step(self, norms: _Norms) -> dict[int, float]:
        """By what to change the log of each weight's variance, towards the norms wished for."""
        wished = {p: norms.share * (norms.forward[p] + norms.backward[p]) for p in self.places}
        held = [p for p in self.places if p not in self.levers and self.stages[p].held]
        if held:  # the rest follows those that no weight can move
            level = fmean(norms.forward[p] - wished[p] for p in held)
        else:
            level = min(norms.loudest[p] - wished[p] for p in self.levers)
        missing: dict[int, float] = {}
        step: dict[int, float] = {}
        for place in self.places:
            behind = [missing[each] for each in self.stages[place].behind if each in missing]
            moved = fmean(behind) if behind else 0.0
            if place in self.levers:
                missing[place] = wished[place] + level - norms.forward[place]
                step[place] = missing[place] - moved
            else:
                missing[place] = 0.0 if self.stages[place].held else moved
        return step

    def _scaled(self, given: dict[str, Entry], logs: Mapping[int, float]) -> dict[str, Entry]:
        found = dict(given)
        for place, log in logs.items():
            name, factor = self.stages[place].weight, math.exp(log / 2)
            entry = given[name]
            if abs(log) < _SETTLED or entry.distribution is None:
                continue
            why = f"{entry.why}; scaled by {factor:.3g} so that blocks keep their squared norm"
            found[name] = replace(entry, distribution=rescaled(entry.distribution, factor), why=why)
        return found


@dataclass(frozen=True)
class _Norms:
    """Logs of squared norms by stage, means over its blocks."""

    forward: Mapping[int, float]
    backward: Mapping[int, float]
    loudest: Mapping[int, float]
    """Of the loudest that each may become."""
    share: float
    """What of log c the activations take."""
    excess: float
    """How many times the larger of the two spans, in logs, is what counts as level."""

    @staticmethod
    def of(chain: _Chain, derivation: Derivation) -> _Norms | None:
        """None where a block's norm is not known."""
        graph, stages = chain.graph, chain.stages
        ahead = squared_norms(graph, derivation.forward)
        behind = squared_norms(graph, derivation.backward)
        outputs = {place: stages[place].outputs for place in chain.places}
        names = [name for each in outputs.values() for name in each]
        if any(min(ahead.get(name, 0.0), behind.get(name, 0.0)) <= 0 for name in names):
            return None
        bound = gradient_bound(derivation.forward, names)
        spans = (math.log(span(norms, names).factor) for norms in (ahead, behind))
        ours, theirs = math.log(LEVEL), math.log(bound)
        return _Norms(
            {place: _mean_log(ahead, each) for place, each in outputs.items()},
            {place: _mean_log(behind, each) for place, each in outputs.items()},
            {
                place: math.log(chain.loudest * prod(graph.shape(each[0])[1:]))
                for place, each in outputs.items()
            },
            ours / (ours + theirs),
            max(log / most for log, most in zip(spans, (ours, theirs), strict=True)),
        )


def _mean_log(norms: Mapping[str, float], names: Sequence[str]) -> float:
    return fmean(math.log(norms[name]) for name in names)
