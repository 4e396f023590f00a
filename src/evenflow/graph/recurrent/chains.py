"""Chains: cells of the same weights in a loop of Python, each going on from the state before it.

All of them together are one layer that runs through time. Where an input depends on a state, or
something else reads what only the next cell should, they are left to the rule of a single cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Array, Moments
from evenflow.graph.recurrent.sequences import lags_of

_OWN = ("input", "hx")
"""Arguments in which cells of a chain differ."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Cells that are derived at once, and the operations that take their results apart."""

    cells: tuple[Node, ...]
    nodes: tuple[Node, ...]
    """All of them, in execution order."""

    @property
    def taking_apart(self) -> list[Node]:
        """Those that are no cells."""
        cells = {cell.name for cell in self.cells}
        return [node for node in self.nodes if node.name not in cells]

    def outputs(self, graph: Graph) -> list[list[str]]:
        """Names of the hidden states, moment by moment."""
        return [[n for n, index in results_of(graph, cell) if not index] for cell in self.cells]

    @property
    def inputs(self) -> list[str]:
        """Names of what the cells read, moment by moment."""
        return [_input(cell) for cell in self.cells]

    def needs(self) -> dict[str, None]:
        """Names of what the cells read that none of them makes."""
        inside = {node.name for node in self.nodes}
        names = (name for cell in self.cells for _, name in cell.refs())
        return dict.fromkeys(name for name in names if name not in inside)


def chains(graph: Graph, operations: Mapping[str, str], longest: int) -> Iterator[Chain]:
    """All chains of these operations, in execution order, in pieces of at most ``longest``."""
    cells = [node for node in graph.nodes if node.op in operations]
    before = {cell.name: _before(graph, cell) for cell in cells}
    after: dict[str, list[Node]] = {}
    for cell in cells:
        after.setdefault(before[cell.name], []).append(cell)
    for first in cells:
        if len(after.get(before[first.name], ())) == 1 and before[first.name]:
            continue  # goes on from another
        chain = [first]
        while len(after.get(chain[-1].name, ())) == 1:
            chain += after[chain[-1].name]
        if len(chain) > 1 and not _fed_back(graph, chain):
            pieces = (chain[k : k + longest] for k in range(0, len(chain), longest))
            yield from (_withresults_of(graph, piece) for piece in pieces)


def _before(graph: Graph, cell: Node) -> str:
    """Name of the cell whose states this one goes on from; "" if there is none."""
    states = [name for argument, name in cell.refs() if argument == "hx"]
    makers = [_maker(graph, name, place) for place, name in enumerate(states)]
    maker = makers[0] if makers else None
    if maker is None or any(each is not maker for each in makers):
        return ""
    if maker.op != cell.op or _weights(maker) != _weights(cell):
        return ""
    inner = [n for n, index in results_of(graph, maker) if index > 0]
    read = {user.name for name in inner for user in graph.users(name)} - {cell.name}
    return "" if read or set(inner) & set(graph.outputs) else maker.name


def _maker(graph: Graph, name: str, place: int) -> Node | None:
    """The operation whose result of this place a value is."""
    node = graph.node(name)
    if node is None or node.op != "getitem":
        return node if place == 0 else None
    return graph.node(_input(node)) if node.arguments.get("index") == place else None


def _weights(cell: Node) -> dict[str, object]:
    return {key: value for key, value in cell.arguments.items() if key not in _OWN}


def results_of(graph: Graph, cell: Node) -> Iterator[tuple[str, int]]:
    """Names of the values that a cell's results are known by, and their places."""
    if not cell.shapes:
        yield cell.name, 0
        return
    for user in graph.users(cell.name):
        index = user.arguments.get("index")
        if user.op == "getitem" and isinstance(index, int):
            yield user.name, index


def _fed_back(graph: Graph, chain: Sequence[Node]) -> bool:
    """Whether an input of the cells depends on what an earlier one made."""
    made = {chain[0].name}
    for node in graph.nodes[graph.place(chain[0].name) + 1 :]:
        if any(name in made for _, name in node.refs()):
            made.add(node.name)
    return any(_input(cell) in made for cell in chain)


def _withresults_of(graph: Graph, cells: Sequence[Node]) -> Chain:
    names = {name for cell in cells for name, _ in results_of(graph, cell)}
    names |= {cell.name for cell in cells}
    nodes = sorted(filter(None, map(graph.node, names)), key=lambda node: graph.place(node.name))
    return Chain(tuple(cells), tuple(nodes))


@dataclass(frozen=True)
class Alike:
    """Covariances of values, or of their gradients, that chains have made."""

    places: dict[str, list[tuple[Array, int]]] = field(default_factory=dict)
    """Of each value, where it stands in which of them."""

    def add(self, names: Sequence[Sequence[str]], covariance: Array) -> None:
        """(same example or another, value, value) of values, each under any number of names."""
        for place, each in enumerate(names):
            for name in each:
                self.places.setdefault(name, []).append((covariance, place))

    def of(self, one: str, other: str) -> Array | None:
        """What all of them together say of two values, (same example or another)."""
        found = None
        for covariance, t in self.places.get(one, ()):
            for its, s in self.places.get(other, ()):
                if covariance is its:
                    found = covariance[:, t, s] if found is None else found + covariance[:, t, s]
        return found


class _Selection(NamedTuple):
    """A value as one index along one axis of another; itself where ``axis`` is None."""

    name: str
    axis: int | None = None
    place: int = 0


def covariance(
    graph: Graph, known: Mapping[str, Moments], names: Sequence[str], alike: Alike
) -> Array:
    """E[x·x′] of one unit of these values of the same shape, (same example or another, value,
    value). Of two that are selected from one tensor it is that tensor's by distance, of two states
    of one chain what this has made; of others only their means are alike."""
    values = [known[name] for name in names]
    places = [_selection(graph, known, name) for name in names]
    found = np.empty((2, len(names), len(names)))
    lags: dict[tuple[str, int | None], Array] = {}
    for t, (x, place) in enumerate(zip(values, places, strict=True)):
        key = place[:2]
        if key not in lags:
            lags[key] = _correlation(known[place.name], place.axis)
        for s in range(t):
            product: Array | float | None = alike.of(names[t], names[s])
            if product is None:
                product = x.mean * values[s].mean
            if places[s][:2] == key:
                distance = min(abs(places[s].place - place.place), lags[key].shape[1] - 1)
                product = lags[key][:, distance] * np.sqrt(x.second * values[s].second)
            found[:, t, s] = found[:, s, t] = product
        found[:, t, t] = lags_of(x, len(x.axes) - 2 if len(x.axes) > 1 else None, None)[:, 0]
    return found


def _correlation(x: Moments, axis: int | None) -> Array:
    """E[x·x′] by distance along an axis, (same example or another, distance), over E[x²]."""
    rest = [place for place in range(len(x.axes) - 1) if place != axis]
    found = lags_of(x, rest[0] if rest else None, axis)
    return found / x.second if x.second > 0 else found


def _selection(graph: Graph, known: Mapping[str, Moments], name: str) -> _Selection:
    node = graph.node(name)
    index = None if node is None else node.arguments.get("index")
    if node is not None and node.op == "getitem":
        node = graph.node(_input(node))
    if node is None or node.op not in ("select", "unbind") or _input(node) not in known:
        return _Selection(name)
    shape, axis = graph.shape(_input(node)), node.arguments.get("dim", 0)
    if not isinstance(axis, int) or not isinstance(index, int) or len(shape) > 3:
        return _Selection(name)
    axis %= len(shape)
    if axis == len(shape) - 1:
        return _Selection(name)
    return _Selection(_input(node), axis, index % shape[axis])


def _input(node: Node) -> str:
    given = node.arguments.get("input")
    return given.name if isinstance(given, Ref) else ""
