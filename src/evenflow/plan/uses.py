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
from evenflow.plan.packed import packed_sizes


@dataclass(frozen=True)
class Use:
    """One reading of one parameter by one operation."""

    parameter: str
    role: str
    """"linear", "conv", "conv_transpose", "bilinear", "recurrent", "embedding", "bias", "scale",
    "shift" or "other"."""
    node: str
    """The operation that reads it."""
    fan_in: float = 0
    """Terms summed forwards into one output element; 0 where the role has no fans."""
    fan_out: float = 0
    """Terms summed backwards into one input element."""
    source: str = ""
    """Name of the tensor that the weight is applied to."""
    blocks: tuple[int, ...] = ()
    """Sizes of the matrices packed into the weight, () for a single one."""
    axis: int = 0
    """The axis that the blocks lie along."""

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
    if node.op in ORDER_ONLY:  # looked through by ``_parameter``
        return
    named = set()
    for use in _READERS.get(node.op, _nothing)(graph, node):
        named.add(use.parameter)
        yield use
    for _, name in node.refs():
        parameter = parameter_of(graph, name)
        if parameter is not None and parameter not in named:
            named.add(parameter)
            yield Use(parameter, "other", node.name)


def parameter_of(graph: Graph, name: str) -> str | None:
    """The parameter that a value is, seen through reshaping and casting; None for others."""
    while name not in graph.parameters:
        node = graph.node(name)
        if node is None or node.op not in ORDER_ONLY:
            return None
        value = node.arguments.get("input")
        if not isinstance(value, Ref):
            return None
        name = value.name
    return None if graph.parameters[name].buffer else name


Reader = Callable[[Graph, Node], Iterator[Use]]


def _nothing(_graph: Graph, _node: Node) -> Iterator[Use]:
    return iter(())


def _name(node: Node, argument: str) -> str:
    value = node.arguments.get(argument)
    return value.name if isinstance(value, Ref) else ""


def _held(graph: Graph, node: Node, argument: str) -> str | None:
    name = _name(node, argument)
    return parameter_of(graph, name) if name else None


def _small(graph: Graph, node: Node, role: str, argument: str) -> Iterator[Use]:
    if parameter := _held(graph, node, argument):
        yield Use(parameter, role, node.name)


def _linear(graph: Graph, node: Node) -> Iterator[Use]:
    if parameter := _held(graph, node, "weight"):
        out, into = graph.shape(_name(node, "weight"))
        yield _matrix(graph, node, parameter, into, out, _name(node, "input"))
    yield from _small(graph, node, "bias", "bias")


def _matrix(
    graph: Graph, node: Node, parameter: str, fan_in: int, fan_out: int, source: str
) -> Use:
    blocks = packed_sizes(graph, node)
    shape = graph.parameters[parameter].shape
    # The packed axis is the output axis of the parameter itself, whichever layout it has.
    axis = next((a for a in reversed(range(len(shape))) if shape[a] == fan_out), 0)
    if len(shape) == 2 and shape[0] == shape[1]:
        axis = 0 if node.op == "linear" else 1
    if not blocks or shape[axis] != sum(blocks):
        return Use(parameter, "linear", node.name, fan_in, fan_out, source)
    each = fan_out / len(blocks)
    return Use(parameter, "linear", node.name, fan_in, each, source, blocks, axis)


def _product(left: str, right: str, bias: str = "") -> Reader:
    def read(graph: Graph, node: Node) -> Iterator[Use]:
        a, b = _name(node, left), _name(node, right)
        if (parameter := _held(graph, node, right)) and len(graph.shape(b)) > 1:
            into, out = graph.shape(b)[-2:]
            yield _matrix(graph, node, parameter, into, out, a)
        elif (parameter := _held(graph, node, left)) and len(graph.shape(a)) > 1:
            out, into = graph.shape(a)[-2:]
            yield Use(parameter, "linear", node.name, into, out, b)
        if bias:
            yield from _small(graph, node, "bias", bias)

    return read


def _einsum(graph: Graph, node: Node) -> Iterator[Use]:
    equation, tensors = node.arguments.get("equation"), node.arguments.get("tensors")
    if not isinstance(equation, str) or "..." in equation or not isinstance(tensors, tuple):
        return
    left, _, result = equation.replace(" ", "").partition("->")
    names = [t.name for t in tensors if isinstance(t, Ref)]
    terms = dict(zip(names, left.split(","), strict=False))
    for name, letters in terms.items():
        parameter = parameter_of(graph, name)
        others = {n: t for n, t in terms.items() if n != name}
        if parameter is None or len(others) != 1:
            continue
        ((source, other),) = others.items()
        size = dict(zip(letters, graph.shape(name), strict=True))
        fan_in = prod(size[c] for c in letters if c in other and c not in result)
        fan_out = prod(size[c] for c in letters if c in result and c not in other)
        if fan_in * fan_out > 1:
            yield Use(parameter, "linear", node.name, fan_in, fan_out, source)


def _conv(graph: Graph, node: Node) -> Iterator[Use]:
    transposed = "transpose" in node.op
    if parameter := _held(graph, node, "weight"):
        shape = graph.shape(_name(node, "weight"))
        taps = prod(shape[2:])
        strides = _strides(node, len(shape) - 2)
        groups = node.arguments.get("groups")
        into = shape[0] // int(groups) if transposed and isinstance(groups, int) else shape[1]
        out = shape[1] if transposed else shape[0] // (groups if isinstance(groups, int) else 1)
        fan_in, fan_out = into * taps, out * taps
        if transposed:
            fan_in = fan_in / strides
        else:
            fan_out = fan_out / strides
        role = "conv_transpose" if transposed else "conv"
        yield Use(parameter, role, node.name, fan_in, fan_out, _name(node, "input"))
    yield from _small(graph, node, "bias", "bias")


def _strides(node: Node, axes: int) -> float:
    stride = node.arguments.get("stride", 1)
    if isinstance(stride, tuple):
        numbers = [s for s in stride if isinstance(s, int)]
        return prod(numbers) if len(numbers) == axes else numbers[0] ** axes if numbers else 1
    return stride**axes if isinstance(stride, int) else 1


def _bilinear(graph: Graph, node: Node) -> Iterator[Use]:
    if parameter := _held(graph, node, "weight"):
        out, first, second = graph.shape(_name(node, "weight"))
        yield Use(
            parameter, "bilinear", node.name, first * second, out * second, _name(node, "input1")
        )
    yield from _small(graph, node, "bias", "bias")


def _embedding(graph: Graph, node: Node) -> Iterator[Use]:
    if parameter := _held(graph, node, "weight"):
        # A look-up sums one term; backwards nothing flows to the indices.
        yield Use(parameter, "embedding", node.name, 1, 0, _name(node, "indices"))


_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _recurrent(graph: Graph, node: Node) -> Iterator[Use]:
    packed = node.arguments.get("params")
    source = _name(node, "input")
    for ref in packed if isinstance(packed, tuple) else ():
        if not isinstance(ref, Ref) or (parameter := parameter_of(graph, ref.name)) is None:
            continue
        shape, gates = graph.parameters[parameter].shape, _GATES[node.op]
        if len(shape) != 2:
            yield Use(parameter, "bias", node.name)
        elif shape[0] % gates == 0 and "weight_hr" not in parameter:
            hidden = shape[0] // gates
            blocks = (hidden,) * gates if gates > 1 else ()
            yield Use(parameter, "recurrent", node.name, shape[1], hidden, source, blocks)
        else:  # the projection of an LSTM with proj_size
            yield Use(parameter, "recurrent", node.name, shape[1], shape[0], source)


def _norm(graph: Graph, node: Node) -> Iterator[Use]:
    yield from _small(graph, node, "scale", "weight")
    yield from _small(graph, node, "shift", "bias")


def _added(graph: Graph, node: Node) -> Iterator[Use]:
    """A vector added to a weight's output is its bias; anything else added is left alone."""
    for argument, other in (("other", "input"), ("input", "other")):
        parameter = _held(graph, node, argument)
        partner = graph.node(_name(node, other))
        if parameter and partner and partner.op in _WEIGHTED:
            yield Use(parameter, "bias", node.name)


_WEIGHTED = {"linear", "matmul", "mm", "bmm", "einsum", "conv1d", "conv2d", "conv3d"}
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
    "add": _added,
    **dict.fromkeys((f"conv{n}d" for n in (1, 2, 3)), _conv),
    **dict.fromkeys((f"conv_transpose{n}d" for n in (1, 2, 3)), _conv),
    **dict.fromkeys(_GATES, _recurrent),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), _norm),
}
