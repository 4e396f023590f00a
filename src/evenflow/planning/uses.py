"""How the graph uses each parameter: its role, and the fans that really are summed.

Fans come from the operation, not from the weight's shape: ``F.linear`` and ``x @ W`` hold the same
matrix in opposite layouts, a transposed convolution sums taps/∏stride forwards and all taps
backwards, a packed weight is several matrices on top of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import ORDER_ONLY
from evenflow.planning.held import LOOKED_THROUGH, Held, held
from evenflow.planning.packed import packed_sizes
from evenflow.planning.recurrent import RECURRENT, recurrent_weights


@dataclass(frozen=True)
class Use:
    """One reading of one parameter, or of a part of it, by one operation."""

    parameter: str
    role: str
    """"linear", "conv", "conv_transpose", "bilinear", "recurrent", "embedding", "bias", "scale",
    "shift", "slope" (of a PReLU), "magnitude" (of a weight-normalised weight) or "other"."""
    node: str
    """The operation that reads it."""
    fan_in: float = 0
    """Terms summed forwards into one output element; 0 where the role has no fans."""
    fan_out: float = 0
    """Terms summed backwards into one input element; the mean over blocks, if there are any."""
    source: str = ""
    """Name of the tensor that the weight is applied to; of the weight, for a magnitude."""
    blocks: tuple[int, ...] = ()
    """Sizes along ``axis`` of the matrices packed into what is read: the fan-out of each.
    () for a single matrix that is all of the parameter."""
    axis: int = 0
    """The axis that the blocks lie along."""
    start: int = 0
    """Where on that axis the first block begins."""
    groups: int = 1
    """Of a convolution: it is this many convolutions side by side, along axis 0."""
    magnitude: str = ""
    """The parameter that sets the weight's size, if not the weight itself (weight norm)."""

    @property
    def is_weight(self) -> bool:
        """Whether the parameter is a weight that a scheme has a say in."""
        return self.role in WEIGHTS


WEIGHTS = ("linear", "conv", "conv_transpose", "bilinear", "recurrent", "embedding")


def uses(graph: Graph) -> dict[str, tuple[Use, ...]]:
    """Every use of every parameter, in execution order; () for a parameter that is never read."""
    found: dict[str, list[Use]] = {name: [] for name in graph.parameters}
    for node in graph.nodes:
        for use in _uses_of(graph, node):
            found[use.parameter].append(use)
    return {name: tuple(each) for name, each in found.items()}


def _uses_of(graph: Graph, node: Node) -> Iterator[Use]:
    if node.op == "_weight_norm":
        yield from _magnitude(graph, node)
    if node.op in LOOKED_THROUGH:
        return
    named = set()
    for use in _READERS.get(node.op, _nothing)(graph, node):
        named.add(use.parameter)
        yield use
    for _, name in node.refs():
        found = held(graph, name)
        if found is not None and found.parameter not in named:
            named.add(found.parameter)
            yield Use(found.parameter, "other", node.name)


Reader = Callable[[Graph, Node], Iterator[Use]]


def _nothing(_graph: Graph, _node: Node) -> Iterator[Use]:
    return iter(())


def _name(node: Node, argument: str) -> str:
    value = node.arguments.get(argument)
    return value.name if isinstance(value, Ref) else ""


def _held(graph: Graph, node: Node, argument: str, axis: int = 0) -> Held | None:
    name = _name(node, argument)
    return held(graph, name, axis) if name else None


def _small(graph: Graph, node: Node, role: str, argument: str) -> Iterator[Use]:
    if found := _held(graph, node, argument):
        yield Use(found.parameter, role, node.name)


def _magnitude(graph: Graph, node: Node) -> Iterator[Use]:
    magnitude, direction = _held(graph, node, "g"), _held(graph, node, "v")
    if magnitude and direction:
        yield Use(magnitude.parameter, "magnitude", node.name, source=direction.parameter)


def _linear(graph: Graph, node: Node) -> Iterator[Use]:
    if found := _held(graph, node, "weight"):
        *out, into = graph.shape(_name(node, "weight"))
        yield _matrix(graph, node, found, into, prod(out), _name(node, "input"))
    yield from _small(graph, node, "bias", "bias")


def _matrix(graph: Graph, node: Node, found: Held, fan_in: int, fan_out: int, source: str) -> Use:
    blocks: tuple[int, ...] = ()
    axis = found.axis
    if axis is not None:
        part = fan_out != graph.parameters[found.parameter].shape[axis]
        blocks = packed_sizes(graph, node) or ((fan_out,) if part else ())
        if sum(blocks) != fan_out:  # the cut is not one of this axis
            blocks = ()
    return Use(
        found.parameter,
        "linear",
        node.name,
        fan_in,
        fan_out / max(len(blocks), 1),
        source,
        blocks,
        axis or 0,
        found.start if blocks else 0,
        magnitude=found.magnitude,
    )


def _product(left: str, right: str, bias: str = "") -> Reader:
    def read(graph: Graph, node: Node) -> Iterator[Use]:
        a, b = _name(node, left), _name(node, right)
        if (found := _held(graph, node, right, -1)) and len(graph.shape(b)) > 1:
            into, out = graph.shape(b)[-2:]
            yield _matrix(graph, node, found, into, out, a)
        elif (found := _held(graph, node, left)) and len(graph.shape(a)) > 1:
            out, into = graph.shape(a)[-2:]
            yield Use(found.parameter, "linear", node.name, into, out, b)
        if bias:
            yield from _small(graph, node, "bias", bias)

    return read


def _einsum(graph: Graph, node: Node) -> Iterator[Use]:
    equation, tensors = node.arguments.get("equation"), node.arguments.get("tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple) or len(tensors) != 2:
        return
    sides, _, result = equation.replace(" ", "").replace("...", "").partition("->")
    names = [t.name for t in tensors if isinstance(t, Ref)]
    for name, letters, (source, other) in _either(names, sides.split(",")):
        found, shape = held(graph, name), graph.shape(name)
        if found is None or len(letters) != len(shape):
            continue
        size = dict(zip(letters, shape, strict=True))
        fan_in = prod(size[c] for c in letters if c in other and c not in result)
        fan_out = prod(size[c] for c in letters if c in result and c not in other)
        if fan_in * fan_out > 1:
            yield Use(found.parameter, "linear", node.name, fan_in, fan_out, source)


def _either(names: list[str], terms: list[str]) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Each of two operands with its letters, and with the other one."""
    if len(names) == len(terms) == 2:
        yield names[0], terms[0], (names[1], terms[1])
        yield names[1], terms[1], (names[0], terms[0])


def _conv(graph: Graph, node: Node) -> Iterator[Use]:
    transposed = "transpose" in node.op
    if found := _held(graph, node, "weight"):
        first, second, *kernel = graph.shape(_name(node, "weight"))
        given = node.arguments.get("groups")
        groups = given if isinstance(given, int) else 1
        into, out = (first // groups, second) if transposed else (second, first // groups)
        fan_in, fan_out = into * prod(kernel), out * prod(kernel)
        strides = _strides(node, len(kernel))
        yield Use(
            found.parameter,
            "conv_transpose" if transposed else "conv",
            node.name,
            fan_in / strides if transposed else fan_in,
            fan_out if transposed else fan_out / strides,
            _name(node, "input"),
            groups=groups,
            magnitude=found.magnitude,
        )
    yield from _small(graph, node, "bias", "bias")


def _strides(node: Node, axes: int) -> int:
    """Product of the strides, of which a single one stands for every axis."""
    stride = node.arguments.get("stride", 1)
    numbers = [
        s for s in (stride if isinstance(stride, tuple) else (stride,)) if isinstance(s, int)
    ]
    return prod(numbers * axes if len(numbers) == 1 else numbers)


def _bilinear(graph: Graph, node: Node) -> Iterator[Use]:
    if found := _held(graph, node, "weight"):
        out, first, second = graph.shape(_name(node, "weight"))
        # The gradient of the first input sums out·second terms, that of the second out·first.
        fan_out = out * (first + second) / 2
        source = _name(node, "input1")
        yield Use(found.parameter, "bilinear", node.name, first * second, fan_out, source)
    yield from _small(graph, node, "bias", "bias")


def _embedding(graph: Graph, node: Node) -> Iterator[Use]:
    if found := _held(graph, node, "weight"):
        # A look-up sums one term; backwards nothing flows to the indices.
        yield Use(found.parameter, "embedding", node.name, 1, 0, _name(node, "indices"))


def _recurrent(graph: Graph, node: Node) -> Iterator[Use]:
    for weight in recurrent_weights(node):
        found = held(graph, weight.name)
        if found is None:
            continue
        shape = graph.shape(weight.name)
        if len(shape) != 2:
            yield Use(found.parameter, "bias", node.name)
            continue
        hidden = shape[0] // weight.gates
        blocks = (hidden,) * weight.gates if weight.gates > 1 else ()
        yield Use(found.parameter, "recurrent", node.name, shape[1], hidden, weight.source, blocks)


def _norm(graph: Graph, node: Node) -> Iterator[Use]:
    yield from _small(graph, node, "scale", "weight")
    yield from _small(graph, node, "shift", "bias")


def _prelu(graph: Graph, node: Node) -> Iterator[Use]:
    yield from _small(graph, node, "slope", "weight")


def _added(graph: Graph, node: Node) -> Iterator[Use]:
    """A vector added to a weight's output is its bias, to a normalised tensor its shift; anything
    else added is left alone."""
    for parameter, partner in _vectors(graph, node):
        if partner.op in _WEIGHTED:
            yield Use(parameter, "bias", node.name)
        elif _is_normalised(graph, partner) or any(
            _is_normalised(graph, behind) for _, behind in _vectors(graph, partner)
        ):
            yield Use(parameter, "shift", node.name)


def _multiplied(graph: Graph, node: Node) -> Iterator[Use]:
    """A vector that multiplies what was just normalised is the normalisation's scale, written out;
    anything else that multiplies is left alone."""
    for parameter, partner in _vectors(graph, node):
        if _is_normalised(graph, partner):
            yield Use(parameter, "scale", node.name)


def _vectors(graph: Graph, node: Node) -> Iterator[tuple[str, Node]]:
    """Each parameter of a sum or product that is a vector, and what made the other operand."""
    if node.op not in ("add", "mul"):
        return
    for argument, other in (("other", "input"), ("input", "other")):
        found = _held(graph, node, argument)
        partner = graph.node(_name(node, other))
        while partner is not None and partner.op in ORDER_ONLY:
            partner = graph.node(_name(partner, "input"))
        shape = graph.shape(_name(node, argument)) if found is not None else ()
        if found and partner is not None and max(shape, default=1) == prod(shape):
            yield found.parameter, partner


def _is_normalised(graph: Graph, node: Node) -> bool:
    """Whether an operation only normalises, its scale and shift still to come."""
    return node.op in _NORMS and not any(name in graph.parameters for _, name in node.refs())


_CONVOLUTIONS = tuple(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))
_WEIGHTED = frozenset({"linear", "matmul", "mm", "bmm", "einsum", "bilinear", *_CONVOLUTIONS})
_NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "standardise")
_READERS: dict[str, Reader] = {
    "linear": _linear,
    "matmul": _product("input", "other"),
    "mm": _product("input", "mat2"),
    "bmm": _product("input", "mat2"),
    "addmm": _product("mat1", "mat2", bias="input"),
    "baddbmm": _product("batch1", "batch2", bias="input"),
    "einsum": _einsum,
    "bilinear": _bilinear,
    "embedding": _embedding,
    "prelu": _prelu,
    "add": _added,
    "mul": _multiplied,
    **dict.fromkeys(_CONVOLUTIONS, _conv),
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(_NORMS, _norm),
}
