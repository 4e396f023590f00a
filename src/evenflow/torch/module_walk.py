"""Module walk: the Graph of a model that cannot be exported as a whole.

The model is run once, its leaf modules are exported one by one, and their graphs are joined by the
identity of the tensors that pass between them. What the user's own code does between two modules
is not seen: it stands in the Graph as "code between modules", which may have read every value
before it, and for which there is no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt
import torch
from torch.utils import _pytree as pytree

from evenflow.graph.graph import Argument, Graph, Node, Parameter, Ref
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.preserve import preserved
from evenflow.torch.program import dtype_of, export, read

_GLUE = "code between modules"


@dataclass(frozen=True)
class _Visit:
    """One call of a leaf module."""

    name: str
    path: str
    module: torch.nn.Module
    call: Call
    output: Any
    versions: tuple[int, ...]
    """How often each tensor in the call had been written in place when the call began."""
    output_versions: tuple[int, ...]
    """The same of the tensors in the output when the call was over."""


def walk(model: torch.nn.Module, call: Call, parameters: ModelParameters, reason: str) -> Graph:
    """Build the Graph module by module; ``reason`` is why the model cannot be exported whole."""
    visits: list[_Visit] = []
    joined = _Joined(parameters)
    for index, tensor in enumerate(call.tensors().values()):
        joined.inputs[f"input_{index}"] = tensor
        joined.known[id(tensor)] = f"input_{index}", tensor._version
    with preserved(model), torch.no_grad(), _visited(model, visits.append):
        output = model(*call.args, **call.kwargs)
    for visit in visits:
        joined.add(visit)
    names = tuple(joined.name(tensor, tensor._version) for tensor in _tensors(output))
    return Graph(
        {name: tuple(tensor.shape) for name, tensor in joined.inputs.items()},
        parameters.describe_with_buffers() | joined.constants,
        tuple(joined.nodes),
        names,
        trace=f"module walk: {reason}",
        input_dtypes={name: dtype_of(tensor) for name, tensor in joined.inputs.items()},
        values=joined.values,
    )


def replay(model: torch.nn.Module, call: Call, observe: Callable[[str, Any], Any]) -> Any:
    """Run the model itself, with an observer at the result of every leaf module."""

    def see(visit: _Visit) -> Any:
        if isinstance(visit.output, torch.Tensor):
            return observe(visit.name, visit.output)
        leaves, spec = pytree.tree_flatten(visit.output)
        first = next((i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)), None)
        if first is None:
            return None
        leaves[first] = observe(visit.name, leaves[first])
        return pytree.tree_unflatten(leaves, spec)

    with _visited(model, see):
        return model(*call.args, **call.kwargs)


@contextmanager
def _visited(model: torch.nn.Module, see: Callable[[_Visit], Any]) -> Iterator[None]:
    """Hooks on the leaves of the model, in force only inside."""
    counts: dict[str, int] = {}
    began: list[tuple[int, ...]] = []

    def before(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        began.append(_versions((args, kwargs)))

    def hook(path: str) -> Callable[..., Any]:
        def after(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            count = counts.get(path, 0)
            counts[path] = count + 1
            name = path.replace(".", "_") + (f"_{count}" if count else "")
            call, versions = Call(args, kwargs), (began.pop(), _versions(output))
            return see(_Visit(name, path, module, call, output, *versions))

        return after

    handles = []
    for path, module in _leaves(model).items():
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(hook(path), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _leaves(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Modules to see as a whole: the innermost ones, and torch's own that hold parameters.

    ``nn.MultiheadAttention`` has a child, but reads that child's parameters itself; so does a
    parametrised layer.
    """
    leaves: dict[str, torch.nn.Module] = {}
    for path, module in model.named_modules():
        inside = leaves and path.startswith(f"{next(reversed(leaves))}.")
        if not path or inside:
            continue
        holds = any(True for _ in module.parameters(recurse=False))
        torchs = type(module).__module__.startswith("torch.nn.")
        if not any(True for _ in module.children()) or (holds and torchs):
            leaves[path] = module
    return leaves


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _versions(tree: Any) -> tuple[int, ...]:
    return tuple(tensor._version for tensor in _tensors(tree))


@dataclass
class _Joined:
    """The Graph as it grows."""

    parameters: ModelParameters
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    constants: dict[str, Parameter] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    known: dict[int, tuple[str, int]] = field(default_factory=dict)
    """id of a tensor → name of the value that it is, and its version then."""

    def name(self, tensor: torch.Tensor, version: int) -> str:
        """The value that a tensor is; unseen code where no module made it, or wrote it last."""
        name, known = self.known.get(id(tensor), ("", -1))
        if version != known:
            name = f"between_{len(self.nodes)}"
            before = tuple(Ref(name) for name, _ in self.known.values())
            shape, dtype = tuple(tensor.shape), dtype_of(tensor)
            self.nodes.append(Node(name, _GLUE, {"before": before}, shape, dtype))
            self.known[id(tensor)] = name, version
        return name

    def add(self, visit: _Visit) -> None:
        """Export one module and splice its graph in."""
        given = zip(_tensors((visit.call.args, visit.call.kwargs)), visit.versions, strict=True)
        sources = [self.name(tensor, version) for tensor, version in given]
        program, _ = export(visit.module, visit.call)
        if program is None:
            self._opaque(visit, sources)
            return
        own = ModelParameters(visit.module)
        part = read(program, own, visit.call)
        renamed = dict(zip(part.inputs, sources, strict=True))
        for name, parameter in part.parameters.items():
            if name in own.tensors:
                renamed[name] = self.parameters.describe(f"{visit.path}.{name}").name
            else:
                renamed[name] = f"{visit.name}_{name}"
                self.constants[renamed[name]] = replace(parameter, name=renamed[name])
        for index, name in enumerate(part.outputs):
            renamed.setdefault(name, visit.name if index == 0 else f"{visit.name}_out{index}")
        for node in part.nodes:
            renamed.setdefault(node.name, f"{visit.name}_{node.name}")
            self.nodes.append(_renamed(node, renamed, visit.path))
        self.values |= {renamed[n]: array for n, array in part.values.items() if n in renamed}
        self._learn(visit, [renamed[name] for name in part.outputs])

    def _opaque(self, visit: _Visit, sources: list[str]) -> None:
        results = _tensors(visit.output)
        shape = tuple(results[0].shape) if results else ()
        dtype = dtype_of(results[0]) if results else "none"
        arguments: dict[str, Argument] = {f"arg{i}": Ref(s) for i, s in enumerate(sources)}
        for name, _ in visit.module.named_parameters(recurse=False):
            arguments[name] = Ref(self.parameters.describe(f"{visit.path}.{name}").name)
        op = type(visit.module).__name__
        self.nodes.append(Node(visit.name, op, arguments, shape, dtype, layer=visit.path))
        self._learn(visit, [visit.name] * len(results))

    def _learn(self, visit: _Visit, names: list[str]) -> None:
        results = zip(_tensors(visit.output), names, visit.output_versions, strict=False)
        for tensor, name, version in results:
            self.known[id(tensor)] = name, version


def _renamed(node: Node, names: dict[str, str], path: str) -> Node:
    def argument(value: Argument) -> Argument:
        if isinstance(value, Ref):
            return Ref(names.get(value.name, value.name))
        if isinstance(value, tuple):
            return tuple(argument(item) for item in value)
        return value

    return replace(
        node,
        name=names[node.name],
        arguments={key: argument(value) for key, value in node.arguments.items()},
        layer=path,
    )
