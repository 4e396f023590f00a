"""The exported program: run ``torch.export`` on a module, and read its nodes as a Graph."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

import torch
from evenflow.graph.graph import Argument, Graph, Node, Parameter, Ref
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters

_LIBRARIES = (str(Path(torch.__file__).parent), "<")


def export(module: torch.nn.Module, call: Call) -> tuple[ExportedProgram | None, str]:
    """The exported program, or None and the reason why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own making, about the user's model
            return torch.export.export(module, call.args, dict(call.kwargs), strict=False), ""
    except Exception as error:  # export fails in as many ways as there are models
        lines = str(error).strip().splitlines()
        return None, f"{type(error).__name__}: {lines[0] if lines else ''}"


def read(program: ExportedProgram, parameters: ModelParameters) -> Graph:
    """Turn the exported program's nodes into ours."""
    held: dict[str, str] = {}  # name in the program -> name in the Graph
    inputs: dict[str, tuple[int, ...]] = {}
    used: dict[str, Parameter] = {}
    for spec in program.graph_signature.input_specs:
        name = str(getattr(spec.arg, "name", ""))
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target is not None:
            parameter = parameters.describe(spec.target)
            held[name] = parameter.name
            used[parameter.name] = parameter
        elif spec.kind == InputKind.CONSTANT_TENSOR and spec.target is not None:
            tensor = program.constants[spec.target]
            assert isinstance(tensor, torch.Tensor)
            held[name] = spec.target
            used[spec.target] = Parameter(
                spec.target, tuple(tensor.shape), _dtype(tensor), trainable=False, buffer=True
            )
        else:
            held[name] = name
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and held.get(node.name, node.name) not in used:
            inputs[node.name] = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
    nodes = tuple(_node(node, held) for node in program.graph.nodes if node.op == "call_function")
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    outputs = tuple(held.get(n.name, n.name) for n in output.all_input_nodes)
    return Graph(inputs, {**parameters.describe_with_buffers(), **used}, nodes, outputs)


def _node(node: torch.fx.Node, held: dict[str, str]) -> Node:
    value = node.meta.get("val")
    tensors = [v for v in (value if isinstance(value, (tuple, list)) else [value])]
    shapes = tuple(tuple(v.shape) if isinstance(v, torch.Tensor) else () for v in tensors)
    first = next((v for v in tensors if isinstance(v, torch.Tensor)), None)
    return Node(
        name=node.name,
        op=_operation(node.target),
        arguments=_arguments(node, held),
        shape=shapes[0] if shapes else (),
        dtype=_dtype(first) if first is not None else "none",
        layer=_layer(node),
        source=_source(node.meta.get("stack_trace")),
        shapes=shapes if len(shapes) > 1 else (),
    )


def _operation(target: Any) -> str:
    """The Graph's word for an operation: "aten.relu_.default" and "aten.relu.default" are "relu"."""
    if isinstance(target, torch._ops.OpOverload):
        space, _, name = target._schema.name.partition("::")
        name = name if name.startswith("__") else name.rstrip("_") or name
        return name if space == "aten" else f"{space}.{name}"
    return str(getattr(target, "__name__", target))


def _arguments(node: torch.fx.Node, held: dict[str, str]) -> dict[str, Argument]:
    """The operation's arguments by name, defaults filled in from its schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        given = {f"arg{i}": _argument(a, held) for i, a in enumerate(node.args)}
        return given | {k: _argument(v, held) for k, v in node.kwargs.items()}
    named: dict[str, Argument] = {}
    for position, formal in enumerate(schema.arguments):
        name = "input" if formal.name == "self" else formal.name
        if position < len(node.args):
            named[name] = _argument(node.args[position], held)
        elif formal.name in node.kwargs:
            named[name] = _argument(node.kwargs[formal.name], held)
        elif formal.has_default_value():
            named[name] = _argument(formal.default_value, held)
    return named


def _argument(value: Any, held: dict[str, str]) -> Argument:
    if isinstance(value, torch.fx.Node):
        return Ref(held.get(value.name, value.name))
    if isinstance(value, (list, tuple)):
        return tuple(_argument(item, held) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _layer(node: torch.fx.Node) -> str:
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    return re.sub(r"@\d+", "", path)


def _source(stack: str | None) -> str:
    """Innermost frame that is the user's own: "model.py:31"."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', stack or "")
    own = [(file, line) for file, line in frames if not file.startswith(_LIBRARIES)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
