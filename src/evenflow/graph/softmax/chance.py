"""Chance: how alike two examples or positions are in one draw, though on average they are not.

Vectors of n independent units have a correlation of mean square 1/n. A sum over weights keeps the
correlation of what it reads and adds the chance of its own outputs; a window over several places
reads several correlations, whose chances average; an activation passes it on by the slope of its
correlation map. Where two maps of the same tensor meet again (keys and values of one source), what
chance made alike is so in both.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from evenflow.graph.algebra.through import slopes, through
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Step
from evenflow.theory.activations import Activation

_SUMS = ("linear", "addmm", "conv")
_FARTHEST = 400
"""Operations that are followed back; what lies further away has been averaged over."""


def chance(step: Step, name: str, known: MutableMapping[str, float]) -> float:
    """Mean square correlation of two positions of a value; ``known`` keeps what was found."""
    waiting = [name]
    for _ in range(_FARTHEST):
        if not waiting or name in known:
            break
        node = step.graph.node(waiting[-1])
        sources = [] if node is None else _sources(step, node)
        missing = [source for source in sources if source not in known]
        if missing:
            waiting.extend(missing)
            continue
        done = waiting.pop()
        known[done] = _of(step, node, done, sources, known)
    return known.get(name, 1 / units(step.known[name]))


def _sources(step: Step, node: Node) -> list[str]:
    """Values that it reads and that draws of weights make, or the data."""
    names = dict.fromkeys(name for _, name in node.refs())
    return [n for n in names if n in step.known and n not in step.graph.parameters]


def _of(
    step: Step,
    node: Node | None,
    name: str,
    sources: Sequence[str],
    known: Mapping[str, float],
) -> float:
    if name not in step.known:
        return 0.0
    x = step.known[name]
    if node is None or not sources or node.op == "embedding":
        return 1 / units(x)
    first = known[sources[0]]
    if node.op.startswith(_SUMS):
        return min(first / _taps(step, node) + 1 / units(x), 1.0)
    if node.op == "activation" and node.activation is not None:
        return first * steepness(step.known[sources[0]], node.activation) ** 2
    if node.op in ("add", "sub"):
        seconds = [step.known[source].second for source in sources]
        total = sum(seconds) or 1.0
        return sum(
            known[source] * (second / total) ** 2
            for source, second in zip(sources, seconds, strict=True)
        )
    return first


def _taps(step: Step, node: Node) -> int:
    """Places that a window reads."""
    if not node.op.startswith("conv"):
        return 1
    weight = replace(step, node=node).shape("weight")
    return max(prod(weight[2:]), 1)


def units(x: Moments) -> float:
    """Elements of one example and position."""
    return prod(a.size for axis in x.axes for a in axis if a.role == "units") or 1.0


def steepness(z: Moments, curve: Activation) -> float:
    """d ρ′/dρ, of the correlations of two examples behind and before an activation."""
    behind = through(z, curve)
    if behind.variance <= 0:
        return 0.0
    sloped = replace(z, pairs=np.broadcast_to(slopes(z, curve), z.pairs.shape))
    return sloped.shared_examples * z.variance / behind.variance
