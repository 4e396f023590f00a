"""Recurrences: unrolled scans s_t = a_t·s_{t−1} + b_t, and what is made of them element by element.

What a scan multiplies with is much the same at every moment, so the moments of its steps are not
independent, and rules that see one step at a time are wrong by far. Its steps are therefore found
here, together with the operations between them and the next tensor that is Gaussian: what a matrix
product, a convolution or the like has summed. All these are derived at once, from what enters the
module that the scan stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import PERMUTATIONS, VIEWS
from evenflow.graph.simplify.pointwise import OPERATIONS

_COPIES = frozenset(["to", "_to_copy", "clone", "contiguous", "alias"])
_PARTS = ["select", "slice", "expand", "zeros", "ones", "zeros_like"]
_ALONG = ((VIEWS | PERMUTATIONS) - {"roll"}).union(OPERATIONS, ["activation"], _PARTS)
"""Operations that keep elements apart, or bring them into another order."""
_AFTER = _ALONG | frozenset(["matmul", "bmm", "einsum", "sum", "stack", "cat"])
_FEWEST = 3
"""Steps from which on a chain is a scan."""


@dataclass(frozen=True)
class Recurrence:
    """Operations that are derived at once."""

    nodes: tuple[Node, ...]
    """In execution order."""
    before: tuple[Node, ...]
    """What they are computed from, back to what enters their module; derived by rules itself."""

    def roots(self) -> dict[str, None]:
        """Names of what these operations start from."""
        inside = {node.name for node in (*self.before, *self.nodes)}
        return _operands((*self.before, *self.nodes), inside)

    def boundary(self) -> dict[str, None]:
        """Names of what the derived operations read that is not one of them."""
        return _operands(self.nodes, {node.name for node in self.nodes})

    def needs(self) -> dict[str, None]:
        """Names of what must be derived before."""
        return self.roots() | self.boundary()


def _operands(nodes: Sequence[Node], inside: set[str]) -> dict[str, None]:
    names = (name for node in nodes for _, name in node.refs())
    return dict.fromkeys(name for name in names if name not in inside)


def recurrences(graph: Graph) -> Iterator[Recurrence]:
    """The scans of a graph, in execution order; those that a later part feeds back are left out."""
    taken: set[str] = set()
    for core in _chains(graph):
        derived = _continued(graph, core, _closure(graph, core))
        module = graph_node(graph, min(core)).layer
        around = _of_module(graph, module, derived) if module else set()
        roots = _operands([graph_node(graph, name) for name in derived], derived)
        leading = _leading_to(graph, roots)
        if core.isdisjoint(leading) and taken.isdisjoint(derived):
            kept = derived - leading
            before = (derived | around) - kept
            taken |= kept
            yield Recurrence(_in_order(graph, kept), _in_order(graph, before))


def _in_order(graph: Graph, names: set[str]) -> tuple[Node, ...]:
    return tuple(node for node in graph.nodes if node.name in names)


def _of_module(graph: Graph, module: str, names: set[str]) -> set[str]:
    """All operations of the module that lead to these: what it multiplies with comes from the same
    values, large or small together."""
    leading = _leading_to(graph, dict.fromkeys(names))
    return {
        node.name
        for node in graph.nodes
        if node.name in leading and (node.layer == module or node.layer.startswith(f"{module}."))
    }


def graph_node(graph: Graph, name: str) -> Node:
    """The operation that is known to be called ``name``."""
    node = graph.node(name)
    assert node is not None
    return node


def _chains(graph: Graph) -> list[set[str]]:
    """The sums and products of each scan."""
    chains: list[set[str]] = []
    ends: dict[str, tuple[set[str], str]] = {}
    for node in graph.nodes:
        for product, earlier, source in _steps(graph, node):
            chain, same = ends.get(earlier, ({earlier}, source))
            if same == source:
                chain |= {node.name, product}
                ends[node.name] = chain, source
                if chain not in chains:
                    chains.append(chain)
                break
    sums = ("add",)
    return [
        chain
        for chain in chains
        if sum(graph_node(graph, name).op in sums for name in chain) >= _FEWEST
    ]


def _steps(graph: Graph, node: Node) -> Iterator[tuple[str, str, str]]:
    """Readings of ``node`` as a·s + b: names of the product, of the earlier sum, and of the tensor
    that a is, or is a part of."""
    if node.op != "add":
        return
    for _, name in node.refs():
        product = graph.node(name)
        if product is None or product.op != "mul":
            continue
        operands = [each for _, each in product.refs()]
        for earlier, factor in (operands, operands[::-1]) if len(operands) == 2 else ():
            state = graph.node(_original(graph, earlier))
            if state is not None and state.op == "add":
                yield name, state.name, _whole(graph, factor)


def _original(graph: Graph, name: str) -> str:
    """What a value is a copy of."""
    node = graph.node(name)
    while node is not None and node.op in _COPIES:
        name = next(each for _, each in node.refs())
        node = graph.node(name)
    return name


def _whole(graph: Graph, name: str) -> str:
    """What a value is a part of."""
    node = graph.node(name)
    if node is not None and node.op in ("select", "slice", "getitem", *_COPIES):
        input_ = node.arguments.get("input")
        return _whole(graph, input_.name) if isinstance(input_, Ref) else name
    return name


def _closure(graph: Graph, names: set[str]) -> set[str]:
    """With all that leads to these element by element."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        node = graph.node(name)
        if node is None or name in found or not (_keeps_apart(node) or name in names):
            continue
        found.add(name)
        left.extend(each for _, each in node.refs())
    return found


def _keeps_apart(node: Node) -> bool:
    """Whether no element of the result sums many of the operand's; a convolution by channel sums
    few, and has less to sum at the rim."""
    if node.op.startswith("conv"):
        return node.arguments.get("groups") == node.shape[1]
    return node.op in _ALONG


def _continued(graph: Graph, core: set[str], before: set[str]) -> set[str]:
    """With all that is made of the steps, and of what that needs."""
    made, inside = set(core), set(before)
    for node in graph.nodes:
        names = [name for _, name in node.refs()]
        if node.name in made or node.op not in _AFTER or made.isdisjoint(names):
            continue
        if node.op not in _ALONG and any(_is_parameter(graph, name) for name in names):
            continue  # a layer's own product sums independent terms
        made.add(node.name)
        inside |= {node.name} | _closure(graph, {n for n in names if _enters(graph, n)})
    return inside


def _enters(graph: Graph, name: str) -> bool:
    node = graph.node(name)
    return node is not None and _keeps_apart(node)


def _is_parameter(graph: Graph, name: str) -> bool:
    """Whether a value is a parameter but for its shape."""
    node = graph.node(name)
    while node is not None and node.op in VIEWS | PERMUTATIONS:
        name = next(each for _, each in node.refs())
        node = graph.node(name)
    return name in graph.parameters


def _leading_to(graph: Graph, names: dict[str, None]) -> set[str]:
    """Operations that these values depend on."""
    found = set(names)
    for node in reversed(graph.nodes):
        if node.name in found:
            found.update(name for _, name in node.refs())
    return found
