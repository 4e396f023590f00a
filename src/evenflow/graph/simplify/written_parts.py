"""Parts written into a tensor, y[..., :k] = a and y[..., k:] = b, become the tensors side by side.

Attention with compressed keys makes its keys so. Each write replaces what it covers, along one
axis; when all of an empty tensor is covered, or the rest is of one that is known, what was written
is a concatenation, which has a rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from evenflow.graph.graph import Argument, Graph, Node, Ref
from evenflow.graph.simplify.fuse import reached

_WRITE = "write through a view"
_EMPTY = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")


class _Piece(NamedTuple):
    """Indices of an axis, and what is there: "" for what was there at first."""

    start: int
    end: int
    source: str


@dataclass(frozen=True)
class _Written:
    """A tensor after some writes along one axis."""

    base: str
    axis: int
    pieces: tuple[_Piece, ...]

    def after(self, new: _Piece) -> _Written:
        """With one write more; what was written before must be covered whole or not at all."""
        left: list[_Piece] = []
        for piece in self.pieces:
            if piece.end <= new.start or piece.start >= new.end:
                left.append(piece)
            elif not piece.source:
                left += [_Piece(piece.start, new.start, ""), _Piece(new.end, piece.end, "")]
            elif piece.start < new.start or piece.end > new.end:
                return replace(self, pieces=())
        kept = [piece for piece in (*left, new) if piece.start < piece.end]
        return replace(self, pieces=tuple(sorted(kept)))


def joined_writes(graph: Graph) -> Graph:
    """The same network with a concatenation for each tensor that was written part by part."""
    known: dict[str, _Written] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        written = _written(graph, node, known) if node.op == _WRITE else None
        if written is None or not written.pieces:
            nodes.append(node)
            continue
        known[node.name] = written
        base = graph.node(written.base)
        whole = all(piece.source for piece in written.pieces)
        if whole or base is None or base.op not in _EMPTY:
            nodes += _joined(node, written)
        else:
            nodes.append(node)
    return replace(graph, nodes=reached(graph, nodes)) if known else graph


def _written(graph: Graph, node: Node, known: dict[str, _Written]) -> _Written | None:
    """What a write has made of a tensor; None where it is not of one part along one axis."""
    before, copy = (node.arguments.get(name) for name in ("input", "written"))
    if not isinstance(before, Ref) or not isinstance(copy, Ref):
        return None
    write = graph.node(copy.name)
    source, target = (
        (write.arguments.get(name) if write is not None else None) for name in ("src", "input")
    )
    if not isinstance(source, Ref) or not isinstance(target, Ref):
        return None
    view = graph.node(target.name)
    if view is None or view.op != "slice" or view.arguments.get("input") != before:
        return None
    axis, start = view.arguments.get("dim", 0), view.arguments.get("start") or 0
    one_by_one = view.arguments.get("step", 1) == 1
    if not isinstance(axis, int) or not isinstance(start, int) or not one_by_one:
        return None
    axis, size = axis % len(node.shape), node.shape[axis]
    start += size if start < 0 else 0
    if graph.shape(source.name) != view.shape:
        return None  # a write that is broadcast
    earlier = known.get(before.name, _Written(before.name, axis, (_Piece(0, size, ""),)))
    if earlier.axis != axis:
        return None
    return earlier.after(_Piece(start, start + view.shape[axis], source.name))


def _joined(node: Node, written: _Written) -> list[Node]:
    """A concatenation, and the parts of the first tensor that are left."""
    parts: list[Node] = []
    names: list[str] = []
    for piece in written.pieces:
        names.append(piece.source or f"{node.name}_from_{piece.start}")
        if not piece.source:
            shape = list(node.shape)
            shape[written.axis] = piece.end - piece.start
            arguments: dict[str, Argument] = {
                "input": Ref(written.base),
                "dim": written.axis,
                "start": piece.start,
                "end": piece.end,
                "step": 1,
            }
            part = replace(node, name=names[-1], op="slice", arguments=arguments)
            parts.append(replace(part, shape=tuple(shape), target="aten.slice.Tensor"))
    tensors: dict[str, Argument] = {
        "tensors": tuple(Ref(name) for name in names),
        "dim": written.axis,
    }
    return [*parts, replace(node, op="cat", arguments=tensors, target="aten.cat.default")]
