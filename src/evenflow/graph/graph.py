"""The Graph: a network as a list of primitive operations on tensors of known shape.

It knows no framework. Values (inputs, parameters, results of operations) share one namespace of
names; a ``Ref`` points to one of them. Operations are named in the words of ``graph.rules``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from evenflow.graph.moments import Moments
    from evenflow.theory.activations import Activation


@dataclass(frozen=True)
class Ref:
    """Points to an input, a parameter or the result of an operation."""

    name: str


Argument = Ref | None | bool | int | float | str | tuple["Argument", ...]


@dataclass(frozen=True)
class Parameter:
    """A parameter or buffer of the model, under its canonical qualified name."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool = True
    buffer: bool = False
    aliases: tuple[str, ...] = ()
    """Other qualified names of the same tensor (tied weights)."""
    moments: Moments | None = None
    """Of a constant that the user's code made of numbers, which are known; None for all else."""


@dataclass(frozen=True)
class Node:
    """One operation: what it does, to what, and where in the user's model it stands."""

    name: str
    op: str
    """"linear", "conv2d", "tanh", "add" …: the name under which its rule is registered."""
    arguments: Mapping[str, Argument]
    """By the operation's own argument names, defaults filled in."""
    shape: tuple[int, ...]
    """Of the (first) result; () for a scalar."""
    dtype: str = "float32"
    layer: str = ""
    """Qualified name of the module that it stands in."""
    source: str = ""
    """File and line of the user's code: "model.py:31"."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of every result, where an operation has several."""
    target: str = ""
    """The framework's own name of the operation, by which it can be run: "aten.topk.default"."""
    activation: Activation | None = None
    """What an "activation" node computes, as ``simplify.fuse`` found it."""

    def refs(self) -> tuple[tuple[str, str], ...]:
        """Pairs (argument name, name of the value it points to), nested ones included."""
        return self._refs

    @cached_property
    def _refs(self) -> tuple[tuple[str, str], ...]:
        return tuple((key, ref) for key, value in self.arguments.items() for ref in _refs(value))


def _refs(value: Argument) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, tuple):
        for item in value:
            yield from _refs(item)


@dataclass(frozen=True)
class Graph:
    """Operations in execution order, and the values they start from."""

    inputs: Mapping[str, tuple[int, ...]]
    """Name and shape of each tensor that the caller passes in."""
    parameters: Mapping[str, Parameter]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    """Names of the values that the model returns."""
    trace: str = "export"
    """How the graph was had: "export" or "module walk: <why>"."""
    input_dtypes: Mapping[str, str] = field(default_factory=dict)
    """Type of each input: "float32", "int64" …; one that is not given is a floating-point one."""
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)
    """The very numbers of values that follow from the code alone: positions, masks."""
    _by_name: dict[str, Node] = field(init=False, repr=False, compare=False)
    _users: dict[str, tuple[Node, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        users: dict[str, dict[str, Node]] = {}
        for node in self.nodes:
            for _, name in node.refs():
                users.setdefault(name, {})[node.name] = node
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})
        object.__setattr__(self, "_users", {k: tuple(v.values()) for k, v in users.items()})

    def node(self, name: str) -> Node | None:
        """The operation whose result is called ``name``; None for inputs and parameters."""
        return self._by_name.get(name)

    def users(self, name: str) -> tuple[Node, ...]:
        """Operations that read the value ``name``, in execution order."""
        return self._users.get(name, ())

    def place(self, name: str) -> int:
        """Which operation in execution order a value is of; −1 for inputs and parameters."""
        return self._places.get(name, -1)

    @cached_property
    def reused(self) -> tuple[str, ...]:
        """Weights that several maps read, transposed or not."""
        matrices = (n for n, parameter in self.parameters.items() if len(parameter.shape) == 2)
        return tuple(name for name in matrices if self._maps(name) > 1)

    def _maps(self, name: str) -> int:
        own = sum(user.op in ("linear", "matmul", "mm") for user in self.users(name))
        turned = (user.name for user in self.users(name) if user.op in ("t", "transpose"))
        return own + sum(self._maps(each) for each in turned)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {node.name: place for place, node in enumerate(self.nodes)}

    def dtype(self, name: str) -> str:
        """Type of any value by name; a value of several results has that of the first."""
        if name in self.inputs:
            return self.input_dtypes.get(name, "float32")
        if name in self.parameters:
            return self.parameters[name].dtype
        return self._by_name[name].dtype

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of any value by name."""
        if name in self.inputs:
            return tuple(self.inputs[name])
        if name in self.parameters:
            return self.parameters[name].shape
        return self._by_name[name].shape
