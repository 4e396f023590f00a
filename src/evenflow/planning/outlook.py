"""Outlook: what a plan will do at depth, told from its derivation before anything is written.

The squared norm of an example (elements × second moment) is followed along the outputs of the
weights and the residual sums, forwards and backwards, against where it begins and where it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from operator import itemgetter

from evenflow.graph.graph import Graph, Node
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation

BOUND = 1e4
"""Factor in squared norm beyond which a signal counts as lost: 100 in root mean square."""
_PLACES = ("linear", "conv", "matmul", "addmm", "mm", "bmm", "einsum", "lstm", "gru", "rnn", "add")


@dataclass(frozen=True)
class Travelled:
    """How far squared norms come on one way through the network."""

    lowest: float
    lowest_at: str
    highest: float
    highest_at: str


def outlook(graph: Graph, derivation: Derivation) -> tuple[str, ...]:
    """What has to be known before the plan is applied; () if every signal stays in bounds."""
    said = []
    ahead = travelled(graph, derivation.forward, first=True)
    behind = travelled(graph, derivation.backward, first=False)
    for way, what in ((ahead, "activations"), (behind, "gradients")):
        if way is not None:
            said += list(_warnings(way, what))
    return tuple(said)


def _warnings(way: Travelled, what: str) -> Iterator[str]:
    if way.lowest < 1 / BOUND:
        yield (
            f"{what} vanish: by the derivation their squared norm falls to ×{way.lowest:.2g} at "
            f"{way.lowest_at}"
        )
    if way.highest > BOUND:
        yield (
            f"{what} explode: by the derivation their squared norm grows to ×{way.highest:.2g} at "
            f"{way.highest_at}"
        )


def travelled(graph: Graph, moments: Mapping[str, Moments], *, first: bool) -> Travelled | None:
    """Lowest and highest squared norm over the network, as ratios to that of the first place (or
    of the last one); None where fewer than two places are known."""
    places = [node for node in graph.nodes if _counts(node, moments)]
    norms = [(n, prod(n.shape[1:]) * moments[n.name].second) for n in places]
    norms = [(node, norm) for node, norm in norms if norm > 0]
    if len(norms) < 2:
        return None
    start = norms[0 if first else -1][1]
    low, high = min(norms, key=itemgetter(1)), max(norms, key=itemgetter(1))
    return Travelled(low[1] / start, _place(low[0]), high[1] / start, _place(high[0]))


def _counts(node: Node, moments: Mapping[str, Moments]) -> bool:
    return node.op.startswith(_PLACES) and node.name in moments and len(node.shape) > 1


def _place(node: Node) -> str:
    return f"{node.layer or node.name} ({node.op})"
