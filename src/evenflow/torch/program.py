"""The exported program: run ``torch.export`` on a module, and read its nodes as a Graph."""

from __future__ import annotations

import io
import logging
import operator
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_map

from evenflow.graph.graph import Argument, Graph, Node, Parameter, Ref
from evenflow.graph.numbers.measured import measured as moments_of
from evenflow.torch.fold import Folder
from evenflow.torch.inline import inline_regions
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.stale import stale_values

_LIBRARIES = (str(Path(torch.__file__).parent), "<")


def export(module: torch.nn.Module, call: Call) -> tuple[ExportedProgram | None, str]:
    """The exported program, or None and the reason why there is none.

    What the model returns beside tensors and numbers (a cache of keys and values, say) is None in
    the program.
    """
    hook = module.register_forward_hook(_plain_output)
    try:
        with _quiet():
            program = torch.export.export(module, call.args, dict(call.kwargs), strict=False)
            inline_regions(program)
            return program, ""
    except Exception as error:  # export fails in as many ways as there are models
        first = (str(error).strip().splitlines() or [""])[0]
        return None, f"{type(error).__name__}: {' '.join(first.split())}"
    finally:
        hook.remove()


def _plain_output(_module: torch.nn.Module, _given: Any, output: Any) -> Any:
    """What the model returns, None in place of all that an exported program cannot return."""
    plain = (torch.Tensor, int, float, bool, str)
    return tree_map(lambda leaf: leaf if isinstance(leaf, plain) else None, output)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says about the user's model while it traces; failures are told by us."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def read(program: ExportedProgram, parameters: ModelParameters, call: Call) -> Graph:
    """Turn the exported program's nodes into ours; ``call`` is what it was exported with."""
    held, used = _held(program, parameters)
    folder = Folder(program, parameters, call)
    inputs = {
        node.name: node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder"
        and held.get(node.name, node.name) not in used
        and isinstance(node.meta.get("val"), torch.Tensor)
    }
    stale = stale_values(program.graph)
    before = dict(held)
    nodes: list[Node] = []
    for node in program.graph.nodes:
        if node.op != "call_function" or node.meta.get("val") is None:  # an assertion, say
            continue
        folder.run(node)
        nodes.append(_node(node, held))
        for value in stale.get(node, ()):
            nodes.append(_overwritten(value, node, held))
            held[value.name] = nodes[-1].name
            folder.written(value.name, nodes[-1].name)
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    return Graph(
        {name: tuple(tensor.shape) for name, tensor in inputs.items()},
        {**parameters.describe_with_buffers(), **used},
        tuple(nodes),
        tuple(held.get(node.name, node.name) for node in output.all_input_nodes),
        input_dtypes={name: dtype_of(tensor) for name, tensor in inputs.items()},
        values={before.get(name, name): array for name, array in folder.told().items()},
    )


def _held(
    program: ExportedProgram, parameters: ModelParameters
) -> tuple[dict[str, str], dict[str, Parameter]]:
    """Names in the program of parameters, buffers and constants → names in the Graph; and these."""
    held: dict[str, str] = {}
    used: dict[str, Parameter] = {}
    for spec in program.graph_signature.input_specs:
        if spec.target is None:
            continue
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            parameter = parameters.describe(spec.target)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            parameter = _constant(spec.target, program.constants[spec.target])
        else:
            continue
        held[str(spec.arg.name)] = parameter.name
        used[parameter.name] = parameter
    return held, used


def _constant(name: str, value: Any) -> Parameter:
    """A tensor that the user's code made of numbers; the Graph itself says what they are."""
    known = value.is_floating_point() and not value.is_meta
    moments = moments_of(value.detach().double().cpu().numpy()) if known else None
    return Parameter(
        name, tuple(value.shape), dtype_of(value), trainable=False, buffer=True, moments=moments
    )


def _overwritten(value: torch.fx.Node, write: torch.fx.Node, held: Mapping[str, str]) -> Node:
    """What became of ``value`` when ``write`` changed a part of its memory; it has no rule."""
    tensor = value.meta["val"]
    return Node(
        f"{value.name}_after_{write.name}",
        "write through a view",
        {"input": Ref(held.get(value.name, value.name)), "written": Ref(write.name)},
        tuple(tensor.shape),
        dtype_of(tensor),
        layer=_layer(write),
        source=_source(write.meta.get("stack_trace")),
    )


def _node(node: torch.fx.Node, held: dict[str, str]) -> Node:
    value = node.meta.get("val")
    tensors = list(value) if isinstance(value, (tuple, list)) else [value]
    shapes = tuple(tuple(v.shape) if isinstance(v, torch.Tensor) else () for v in tensors)
    first = next((v for v in tensors if isinstance(v, torch.Tensor)), None)
    return Node(
        name=node.name,
        op=_operation(node.target),
        arguments=_arguments(node, held),
        shape=shapes[0] if shapes else (),
        dtype=dtype_of(first) if first is not None else "none",
        layer=_layer(node),
        source=_source(node.meta.get("stack_trace")),
        shapes=shapes if len(shapes) > 1 else (),
        target=str(node.target),
    )


def _operation(target: Any) -> str:
    """The Graph's word for an operation: "relu" for aten.relu_.default and aten.relu.default."""
    if isinstance(target, torch._ops.OpOverload):
        space, _, name = target._schema.name.partition("::")
        name = name if name.startswith("__") else name.rstrip("_") or name
        return name if space == "aten" else f"{space}.{name}"
    return str(getattr(target, "__name__", target))


def _arguments(node: torch.fx.Node, held: dict[str, str]) -> dict[str, Argument]:
    """The operation's arguments by name, defaults filled in from its schema."""
    schema = getattr(node.target, "_schema", None)
    if node.target is operator.getitem:
        return dict(zip(("input", "index"), (_argument(a, held) for a in node.args), strict=True))
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
    if isinstance(value, torch.fx.Node) and value.op == "get_attr":
        return str(value.target)  # a region of operations of its own, under no_grad, say
    if isinstance(value, torch.fx.Node):
        return Ref(held.get(value.name, value.name))
    if isinstance(value, (list, tuple)):
        return tuple(_argument(item, held) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _layer(node: torch.fx.Node) -> str:
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    return re.sub(r"@\d+", "", path)


def _source(stack: str | None) -> str:
    """Innermost frame that is the user's own: "model.py:31"."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', stack or "")
    own = [(file, line) for file, line in frames if not file.startswith(_LIBRARIES)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def dtype_of(tensor: torch.Tensor) -> str:
    """The Graph's word for a tensor's type: "float32", "int64" …"""
    return str(tensor.dtype).removeprefix("torch.")
