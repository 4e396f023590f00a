"""Fuse: chains of pointwise operations over one tensor become single activations.

After this pass a Graph has one "activation" node where the user wrote ``x / (1 + abs(x))`` in
three, so that the calculus, the plan and the record all see the same thing: a function φ of z.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from evenflow.errors import ActivationError
from evenflow.graph.graph import Argument, Graph, Node, Ref
from evenflow.graph.simplify.pointwise import (
    AFFINE,
    COMPARISONS,
    OPERATIONS,
    Pointwise,
    activation_of,
    compose,
)
from evenflow.theory.activations import Activation

_FLOATS = ("float", "bfloat")
_OPERANDS = ("input", "other", "exponent", "condition")


def fuse(graph: Graph) -> Graph:
    """The same network with every pointwise chain over one root as one "activation" node.

    A chain that is no function on the whole real line (``rsqrt`` of a mean square, say) is left as
    the operations that it is made of.
    """
    functions, activations = _activations(graph)
    kept: list[Node] = []
    for node in graph.nodes:
        if node.name in activations and not _follows(graph, node, activations):
            root = Ref(functions[node.name].root)
            found = activations[node.name]
            kept.append(replace(node, op="activation", arguments={"input": root}, activation=found))
        elif (
            node.name not in functions
            or node.name in activations
            or not node.dtype.startswith(_FLOATS)
            or _plain(graph, node, functions[node.name])
        ):
            kept.append(node)
    return replace(graph, nodes=reached(graph, kept))


def _follows(graph: Graph, node: Node, activations: Collection[str]) -> bool:
    """Whether it only scales or shifts an activation that is kept, as 1 − gate does."""
    names = _read(graph, node)
    return len(names) == 1 and names[0] in activations and node.op in AFFINE


def _plain(graph: Graph, node: Node, function: Pointwise) -> bool:
    """Whether it only scales or shifts one tensor, which has a rule of its own."""
    return function.affine and len(_read(graph, node)) == 1


def _read(graph: Graph, node: Node) -> list[str]:
    """The values that an operation reads, but for single numbers that are known."""
    return [name for _, name in node.refs() if _number(graph, name) is None]


def _activations(graph: Graph) -> tuple[dict[str, Pointwise], dict[str, Activation]]:
    """All pointwise functions, and the activations that chains of them end in."""
    refused: set[str] = set()
    while True:
        functions = _functions(graph, refused)
        activations: dict[str, Activation] = {}
        for node in graph.nodes:
            function = functions.get(node.name)
            if (
                function is None
                or not node.dtype.startswith(_FLOATS)
                or _plain(graph, node, function)
                or not _ends_chain(graph, node, functions)
            ):
                continue
            try:
                activations[node.name] = activation_of(function)
            except ActivationError:
                refused.add(node.name)
                break
        else:
            return functions, activations


def _functions(graph: Graph, refused: Collection[str]) -> dict[str, Pointwise]:
    """Which values are functions of a single other value, and which function."""
    functions: dict[str, Pointwise] = {}
    for node in graph.nodes:
        told = node.dtype.startswith(_FLOATS) or node.op in COMPARISONS
        if node.op not in OPERATIONS or not told or node.name in refused:
            continue
        operands: dict[str, Pointwise | float] = {}
        for name, value in node.arguments.items():
            operand = _operand(graph, functions, value, node)
            if operand is not None and name in _OPERANDS:
                operands[name] = operand
        if sum(isinstance(o, Pointwise) for o in operands.values()) != len(_read(graph, node)):
            continue
        if (function := compose(node, operands)) is not None:
            functions[node.name] = function
    return functions


def _operand(
    graph: Graph, functions: dict[str, Pointwise], value: Argument, node: Node
) -> Pointwise | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Ref):
        if value.name in functions:
            return functions[value.name]
        if (number := _number(graph, value.name)) is not None:
            return number
        of_numbers = graph.dtype(value.name).startswith(_FLOATS)
        own = of_numbers and value.name not in graph.parameters
        if own and graph.shape(value.name) == node.shape:
            return Pointwise(value.name, "x", lambda z: (z, z * 0 + 1), affine=True)
    return None


def _number(graph: Graph, name: str) -> float | None:
    """The number that a value of one element is known to be."""
    known = graph.values.get(name)
    return float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None


def _ends_chain(graph: Graph, node: Node, functions: dict[str, Pointwise]) -> bool:
    """Whether something other than the chain itself reads the value."""
    if node.name in graph.outputs:
        return True
    root = functions[node.name].root
    return any(
        user.name not in functions or functions[user.name].root != root
        for user in graph.users(node.name)
    )


def reached(graph: Graph, nodes: list[Node]) -> tuple[Node, ...]:
    """``nodes`` without those that only steps of ``graph`` read that are no more."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(nodes):
        read_before = graph.users(node.name) != ()
        if node.name in needed or not read_before:
            kept.append(node)
            needed.update(name for _, name in node.refs())
    return tuple(reversed(kept))
