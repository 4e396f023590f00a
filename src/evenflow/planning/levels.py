"""Levels: how even a network keeps the squared norm of an example over its blocks, both ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from evenflow.graph.graph import Graph
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation
from evenflow.planning.stages import Stage, chains

LEVEL = 4.0
"""Factor in squared norm, over all blocks, up to which a network counts as level."""
_LEVEL_ACROSS = 16.0
"""The same of gradients where the resolution changes."""


@dataclass(frozen=True)
class Levels:
    """How level a network's blocks are."""

    blocks: int
    forward: Span
    """Of activations."""
    backward: Span
    """Of gradients."""
    gradient_bound: float
    """Up to which factor the gradients count as level."""


@dataclass(frozen=True)
class Span:
    """Lowest and highest squared norm of an example along blocks that lead to one another."""

    lowest: float
    lowest_at: str
    highest: float
    highest_at: str

    @property
    def factor(self) -> float:
        """Highest over lowest."""
        return self.highest / self.lowest


def levels(graph: Graph, derivation: Derivation, found: tuple[Stage, ...]) -> Levels | None:
    """How level a derivation's blocks are: of all that lead to one another, those that range most,
    each way; None where no two of them are known."""
    ahead = squared_norms(graph, derivation.forward)
    behind = squared_norms(graph, derivation.backward)
    forward, backward, count, bound = [], [], 0, LEVEL
    for chain in chains(found):
        names = [name for place in chain for name in found[place].outputs]
        known = [name for name in names if min(ahead.get(name, 0.0), behind.get(name, 0.0)) > 0]
        if len(known) > 1:
            forward.append(span(ahead, known))
            backward.append(span(behind, known))
            count += len(known)
            bound = max(bound, gradient_bound(derivation.forward, known))
    if not forward:
        return None
    forward.sort(key=lambda each: each.factor)
    backward.sort(key=lambda each: each.factor)
    return Levels(count, forward[-1], backward[-1], bound)


def span(norms: Mapping[str, float], names: Sequence[str]) -> Span:
    """From the lowest to the highest norm of these values."""
    low, high = min(names, key=norms.__getitem__), max(names, key=norms.__getitem__)
    return Span(norms[low], low, norms[high], high)


def squared_norms(graph: Graph, moments: Mapping[str, Moments]) -> dict[str, float]:
    """Squared norm of one example of each value whose moments are known."""
    return {name: prod(graph.shape(name)[1:]) * each.second for name, each in moments.items()}


def gradient_bound(moments: Mapping[str, Moments], names: Collection[str]) -> float:
    """Factor up to which the gradients of these blocks count as level."""
    places = {
        prod(atom.size for axis in moments[name].axes for atom in axis if atom.role == "positions")
        for name in names
        if name in moments
    }
    return LEVEL if len(places) < 2 else _LEVEL_ACROSS
