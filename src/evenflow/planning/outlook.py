"""Outlook: what a plan will do at depth, told from its derivation before anything is written.

Told are the squared norms of an example (elements × second moment): how level they are over the
blocks, and where on the way through all weights and sums one is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.propagate import Derivation
from evenflow.planning.levels import LEVEL, Levels, Span, levels, span, squared_norms
from evenflow.planning.recurrent import RECURRENT
from evenflow.planning.stages import Stage

BOUND = 1e4
"""Factor in squared norm beyond which a signal counts as lost: 100 in root mean square."""
_OPERATIONS = (
    "linear",
    "conv",
    "matmul",
    "addmm",
    "mm",
    "bmm",
    "einsum",
    "lstm",
    "gru",
    "rnn",
    "add",
)


def outlook(graph: Graph, derivation: Derivation, stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """What has to be known before the plan is applied: its price in both directions, and every
    signal that leaves the bounds."""
    said = []
    found = levels(graph, derivation, stages)
    if found is not None:
        said.append(_price(graph, found, any(stage.held for stage in stages)))
    said += _lost(graph, squared_norms(graph, derivation.forward), "activations", first=True)
    said += _lost(graph, squared_norms(graph, derivation.backward), "gradients", first=False)
    return tuple(said)


def _price(graph: Graph, found: Levels, held: bool) -> str:
    """How far squared norms range over the blocks, both ways, and where if that is far."""
    ahead = _said(graph, found.forward, LEVEL)
    behind = _said(graph, found.backward, found.gradient_bound)
    sentence = (
        f"over {found.blocks} blocks the squared norm of an example ranges {ahead}, that of its "
        f"gradient {behind}"
    )
    uneven = found.forward.factor > LEVEL or found.backward.factor > found.gradient_bound
    if held and uneven:
        sentence += "; normalisations hold the level of elements, which no weight then changes"
    return sentence


def _said(graph: Graph, found: Span, bound: float) -> str:
    factor = f"×{found.factor:.3g}"
    if found.factor <= bound:
        return factor
    low, high = place_of(graph, found.lowest_at), place_of(graph, found.highest_at)
    return f"{factor} from {low} to {high}"


def _lost(graph: Graph, norms: Mapping[str, float], what: str, *, first: bool) -> Iterator[str]:
    """Warnings of norms out of bounds beside that of the first place (or of the last one)."""
    names = [name for node in graph.nodes for name in _places(node) if norms.get(name, 0.0) > 0]
    if len(names) < 2:
        return
    start, way = norms[names[0 if first else -1]], span(norms, names)
    if way.lowest < start / BOUND:
        yield (
            f"{what} vanish: by the derivation their squared norm falls to "
            f"×{way.lowest / start:.2g} at {place_of(graph, way.lowest_at)}"
        )
    if way.highest > start * BOUND:
        yield (
            f"{what} explode: by the derivation their squared norm grows to "
            f"×{way.highest / start:.2g} at {place_of(graph, way.highest_at)}"
        )


def _places(node: Node) -> Iterator[str]:
    """Values that count of an operation; of a recurrent one, which may be many layers, what it
    reads as well."""
    read = node.arguments.get("input")
    if node.op in RECURRENT and isinstance(read, Ref):
        yield read.name
    if node.op.startswith(_OPERATIONS) and len(node.shape) > 1:
        yield node.name


def place_of(graph: Graph, name: str) -> str:
    """Where a value is computed, in the user's words."""
    node = graph.node(name)
    return f"{node.layer or name} ({node.op})" if node is not None else f"input {name}"
