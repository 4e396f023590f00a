"""Module walk: the Graph of a model that cannot be exported as a whole.

The model is run once, its innermost modules are exported one by one, and their graphs are joined
by the identity of the tensors that pass between them. What the user's own code does between two
modules is not seen: it stands in the Graph as "code between modules", for which there is no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

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
    """One call of an innermost module."""

    name: str
    path: str
    module: torch.nn.Module
    call: Call
    output: Any


def walk(model: torch.nn.Module, call: Call, parameters: ModelParameters, reason: str) -> Graph:
    """Build the Graph module by module; ``reason`` is why the model cannot be exported whole."""
    visits: list[_Visit] = []
    with preserved(model), torch.no_grad(), _visited(model, visits.append):
        output = model(*call.args, **call.kwargs)
    joined = _Joined(parameters)
    for index, tensor in enumerate(call.tensors().values()):
        joined.inputs[f"input_{index}"] = tensor
        joined.names[id(tensor)] = f"input_{index}"
    for visit in visits:
        joined.add(visit)
    outputs = [t for t in pytree.tree_leaves(output) if isinstance(t, torch.Tensor)]
    names = tuple(joined.name(tensor) for tensor in outputs)
    return Graph(
        {name: tuple(tensor.shape) for name, tensor in joined.inputs.items()},
        parameters.describe_with_buffers() | joined.constants,
        tuple(joined.nodes),
        names,
        trace=f"module walk: {reason}",
        input_dtypes={name: dtype_of(tensor) for name, tensor in joined.inputs.items()},
    )


def replay(model: torch.nn.Module, call: Call, observe: Callable[[str, Any], Any]) -> Any:
    """Run the model itself, with an observer at the result of every innermost module."""

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
    """Hooks on the innermost modules, in force only inside."""
    counts: dict[str, int] = {}

    def hook(path: str) -> Callable[..., Any]:
        def after(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            count = counts.get(path, 0)
            counts[path] = count + 1
            name = path.replace(".", "_") + (f"_{count}" if count else "")
            return see(_Visit(name, path, module, Call(args, kwargs), output))

        return after

    handles = [
        module.register_forward_hook(hook(path), with_kwargs=True)
        for path, module in model.named_modules()
        if path and not any(True for _ in module.children())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _Joined:
    """The Graph as it grows."""

    parameters: ModelParameters
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    constants: dict[str, Parameter] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """id of a tensor → name of the value that it is."""

    def name(self, tensor: torch.Tensor) -> str:
        """The value that a tensor is; unseen code where no module made it."""
        if id(tensor) not in self.names:
            name = f"between_{len(self.nodes)}"
            behind = self.nodes[-1].name if self.nodes else next(iter(self.inputs), "")
            source: dict[str, Argument] = {"input": Ref(behind)} if behind else {}
            shape = tuple(tensor.shape)
            self.nodes.append(Node(name, _GLUE, source, shape, dtype_of(tensor)))
            self.names[id(tensor)] = name
        return self.names[id(tensor)]

    def add(self, visit: _Visit) -> None:
        """Export one module and splice its graph in."""
        given = pytree.tree_leaves((visit.call.args, dict(visit.call.kwargs)))
        sources = [self.name(t) for t in given if isinstance(t, torch.Tensor)]
        results = [t for t in pytree.tree_leaves(visit.output) if isinstance(t, torch.Tensor)]
        program, _ = export(visit.module, visit.call)
        if program is None:
            self._opaque(visit, sources, results)
            return
        own = ModelParameters(visit.module)
        part = read(program, own)
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
        for tensor, name in zip(results, part.outputs, strict=False):
            self.names[id(tensor)] = renamed[name]

    def _opaque(self, visit: _Visit, sources: list[str], results: list[torch.Tensor]) -> None:
        shape = tuple(results[0].shape) if results else ()
        dtype = dtype_of(results[0]) if results else "none"
        arguments: dict[str, Argument] = {f"arg{i}": Ref(s) for i, s in enumerate(sources)}
        for name, _ in visit.module.named_parameters(recurse=False):
            arguments[name] = Ref(self.parameters.describe(f"{visit.path}.{name}").name)
        op = type(visit.module).__name__
        self.nodes.append(Node(visit.name, op, arguments, shape, dtype, layer=visit.path))
        self.names.update((id(tensor), visit.name) for tensor in results)


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
