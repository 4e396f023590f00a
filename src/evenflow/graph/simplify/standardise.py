"""Standardise: normalisations written out by hand become single operations.

``x * rsqrt(mean(x²) + eps)`` reads x twice, so its factors are not independent; as one operation
"standardise" it has the rule of layer and RMS norm. So have ``/ sqrt(…)``, x − mean(x) in place of
x, and ``var`` and ``std``; casts in between do not matter, nor does it matter whether a value is
computed once or twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from evenflow.graph.graph import Argument, Graph, Node, Ref
from evenflow.graph.simplify.fuse import reached
from evenflow.graph.simplify.sources import behind, input_of

_CASTS = ("to", "_to_copy", "type_as", "alias")


def standardise(graph: Graph) -> Graph:
    """The same network with one "standardise" node for each normalisation written out."""
    nodes = [_standardised(graph, node) or node for node in graph.nodes]
    return replace(graph, nodes=reached(graph, nodes))


@dataclass(frozen=True)
class _Square:
    """The mean square of ``of`` over some axes, ``eps`` added; ``centred`` tells of a variance."""

    of: str
    axes: tuple[Argument, ...]
    eps: float
    centred: bool = False
    count: int = 1
    """Elements, where it is their sum that is taken and not their mean."""


def _standardised(graph: Graph, node: Node) -> Node | None:
    for value, square in _quotients(graph, node):
        source = behind(graph, value, _CASTS)
        inner = _centred(graph, source, square.axes)
        if _same(graph, source, square.of) and not square.centred:
            of = inner or value
        elif inner is not None and square.centred and _same(graph, inner, square.of):
            of = inner
        else:
            continue
        arguments: dict[str, Argument] = {
            "input": Ref(of),
            "dim": square.axes,
            "eps": square.eps,
            "centre": inner is not None,
            "scale": square.count**-0.5,
        }
        return replace(node, op="standardise", arguments=arguments)
    return None


def _quotients(graph: Graph, node: Node) -> list[tuple[str, _Square]]:
    """Ways to read a product or quotient as a value over the root of a mean square."""
    left, right = node.arguments.get("input"), node.arguments.get("other")
    if not isinstance(left, Ref) or not isinstance(right, Ref):
        return []
    if node.op == "div" and not node.arguments.get("rounding_mode"):
        found = [(left.name, _root(graph, right.name))]
    elif node.op == "mul":
        found = [
            (value.name, _inverse_root(graph, other.name))
            for value, other in ((left, right), (right, left))
        ]
    else:
        return []
    return [(value, square) for value, square in found if square is not None]


def _root(graph: Graph, name: str) -> _Square | None:
    """√(mean square + eps), or a standard deviation (+ eps), or a length (or eps)."""
    inner, added = _less_number(graph, _unexpanded(graph, name))
    node = _producer(graph, inner)
    if node is None:
        return None
    if node.op == "std":
        return _variance(graph, node, added**2)
    if node.op == "linalg_vector_norm" and node.arguments.get("ord", 2) == 2:
        return _length(graph, node, added**2)
    if added == 0 and _is_power(node, "sqrt", 0.5):
        return _mean_square(graph, input_of(node))
    return None


def _inverse_root(graph: Graph, name: str) -> _Square | None:
    node = _producer(graph, name)
    if node is not None and _is_power(node, "rsqrt", -0.5):
        return _mean_square(graph, input_of(node))
    if node is not None and _is_power(node, "reciprocal", -1.0):
        return _root(graph, input_of(node))
    return None


def _mean_square(graph: Graph, name: str) -> _Square | None:
    inner, eps = _less_number(graph, name)
    node = _producer(graph, inner)
    if node is None:
        return None
    if node.op == "var":
        return _variance(graph, node, eps)
    square = _producer(graph, input_of(node)) if node.op in ("mean", "sum") else None
    if square is None or not node.arguments.get("keepdim"):
        return None
    own = square.op == "mul" and square.arguments.get("other") == Ref(input_of(square))
    if not own and not _is_power(square, "square", 2.0):
        return None
    of = behind(graph, input_of(square), _CASTS)
    if node.op == "sum":
        length = _length(graph, node, eps)
        return length and replace(length, of=of)
    return _Square(of, _axes(node), eps)


def _length(graph: Graph, node: Node, eps: float) -> _Square | None:
    """Σx² + eps is n times the mean square with eps/n."""
    shape, axes = graph.shape(input_of(node)), _axes(node)
    if not node.arguments.get("keepdim") or not all(isinstance(axis, int) for axis in axes):
        return None
    count = prod(shape[axis] for axis in axes if isinstance(axis, int))
    return _Square(
        behind(graph, input_of(node), _CASTS), axes, eps / max(count, 1), count=max(count, 1)
    )


def _unexpanded(graph: Graph, name: str) -> str:
    """What copies along axes of length 1 were made of."""
    node = graph.node(name)
    if node is None or node.op not in ("expand", "expand_as") or not input_of(node):
        return name
    source = input_of(node)
    return source if len(graph.shape(source)) == len(node.shape) else name


def _variance(graph: Graph, node: Node, eps: float) -> _Square:
    return _Square(behind(graph, input_of(node), _CASTS), _axes(node), eps, centred=True)


def _centred(graph: Graph, name: str, axes: tuple[Argument, ...]) -> str | None:
    """y, where a value is y − mean(y) over these axes."""
    node = _producer(graph, name)
    if node is None or node.op != "sub" or node.arguments.get("alpha", 1) != 1:
        return None
    other = node.arguments.get("other")
    mean = _producer(graph, other.name) if isinstance(other, Ref) else None
    if mean is None or mean.op != "mean" or _axes(mean) != axes:
        return None
    of = input_of(node)
    return of if _same(graph, of, input_of(mean)) else None


def _less_number(graph: Graph, name: str) -> tuple[str, float]:
    """What a number is added to, or the largest of that and the number; and the number."""
    node = _producer(graph, name)
    argument = {"add": "other", "clamp": "min", "clamp_min": "min"}.get(node.op if node else "")
    number = node.arguments.get(argument) if node is not None and argument else None
    if node is not None and isinstance(number, (int, float)) and input_of(node):
        return input_of(node), float(number)
    return name, 0.0


def _is_power(node: Node, op: str, exponent: float) -> bool:
    return node.op == op or (node.op == "pow" and node.arguments.get("exponent") == exponent)


def _axes(node: Node) -> tuple[Argument, ...]:
    dim = node.arguments.get("dim")
    return dim if isinstance(dim, tuple) else (dim,)


def _producer(graph: Graph, name: str) -> Node | None:
    return graph.node(behind(graph, name, _CASTS))


def _same(graph: Graph, one: str, other: str) -> bool:
    """Whether two values are the same: one value, or x − mean(x) or mean(x) written twice."""
    one, other = behind(graph, one, _CASTS), behind(graph, other, _CASTS)
    first, second = graph.node(one), graph.node(other)
    if one == other or first is None or second is None:
        return one == other
    if first.op != second.op or first.op not in ("sub", "mean"):
        return False
    refs = [(left.name, right.name) for left, right in _operands(first, second)]
    numbers = ("dim", "alpha", "keepdim", "dtype")
    alike = all(first.arguments.get(n) == second.arguments.get(n) for n in numbers)
    return alike and bool(refs) and all(_same(graph, left, right) for left, right in refs)


def _operands(first: Node, second: Node) -> list[tuple[Ref, Ref]]:
    """The values that two nodes of one operation read, those of one argument together; none where
    either of them is a number."""
    names = [name for name in ("input", "other") if name in first.arguments]
    pairs = [(first.arguments[name], second.arguments[name]) for name in names]
    found = [(x, y) for x, y in pairs if isinstance(x, Ref) and isinstance(y, Ref)]
    return found if len(found) == len(pairs) else []
