"""Fold: the numbers that follow from the code alone, and from indices and masks that were passed.

Positions, masks and rotary tables are made of constants by a few operations. These are run once on
real tensors while the program is read, so that the calculus knows *which* elements a mask hides
and which tokens are the same, and not only how many elements there are. On the meta device indices
have no numbers: tokens then count as distinct, and masks that are passed as hiding nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from evenflow.torch.buffers import remade_buffers
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters

_MOST = 1 << 24
"""Elements of the largest tensor that is folded."""
_MOST_FROZEN = 1 << 20
"""Elements of the largest frozen parameter: tables of positions are that, not frozen weights."""
_UNKNOWN = ("empty", "empty_like", "new_empty", "empty_permuted", "empty_strided")
"""Operations whose result is whatever memory held."""


class Folder:
    """Runs the operations of a program whose operands are all known, in their order."""

    def __init__(self, program: ExportedProgram, parameters: ModelParameters, call: Call) -> None:
        self._known: dict[str, Any] = dict(_given(program, parameters, call))
        self.values: dict[str, npt.NDArray[Any]] = {}
        """Numbers of the values known so far, by their names in the program."""
        for name, tensor in self._known.items():
            self._keep(name, tensor)

    def run(self, node: torch.fx.Node) -> bool:
        """Run one operation if everything it reads is known; whether it was."""
        if not _foldable(node) or any(n.name not in self._known for n in node.all_input_nodes):
            self._forget(node)
            return False
        self._set_apart(node)
        operation: Any = node.target
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: self._known[n.name])
        args, kwargs = pytree.tree_map_only(
            torch.device, lambda _: torch.device("cpu"), (args, kwargs)
        )
        try:
            result = operation(*args, **kwargs)
        except (RuntimeError, TypeError, IndexError):  # no kernel for these types on a CPU, say
            self._forget(node)
            return False
        self._known[node.name] = result
        self._keep(node.name, result)
        return True

    def told(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers by name; an axis along which they only repeat is an expanded one."""
        return {name: _without_repeats(array) for name, array in self.values.items()}

    def written(self, name: str, after: str) -> None:
        """A write through a view changed the value ``name``, called ``after`` from here on."""
        if name in self._known:
            self.values[after] = _array(self._known[name]).copy()

    def _keep(self, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self.values[name] = _array(value)

    def _forget(self, node: torch.fx.Node) -> None:
        """What an operation that was not run would have written to is known no more."""
        for name in self._in_memory_of(node):
            del self._known[name]

    def _set_apart(self, node: torch.fx.Node) -> None:
        """Let numbers told so far stay as they are when their tensor's memory is written to."""
        for name in self._in_memory_of(node):
            if name in self.values:
                self.values[name] = self.values[name].copy()

    def _in_memory_of(self, node: torch.fx.Node) -> list[str]:
        """Known values in the memory that an operation writes to; none of one that does not."""
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            return []
        memory = {_memory(self._known.get(n.name)) for n in node.all_input_nodes} - {0}
        return [name for name, value in self._known.items() if _memory(value) in memory]


def _memory(value: Any) -> int:
    return value.untyped_storage().data_ptr() if isinstance(value, torch.Tensor) else 0


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    small = tensor.dtype in (torch.bfloat16, torch.float16)
    return np.asarray((tensor.float() if small else tensor).numpy())


def _without_repeats(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same numbers, each axis of equal slices as one slice over and over: a mask that was made
    for each example, say, and is the same for all."""
    core = array
    for axis, size in enumerate(array.shape):
        if size < 2 or not array.size:
            continue
        before = (slice(None),) * axis
        first, last = core[(*before, slice(0, 1))], core[(*before, slice(-1, None))]
        if np.array_equal(first, last) and bool((core == first).all()):
            core = first
    return array if core.shape == array.shape else np.broadcast_to(core, array.shape)


def _foldable(node: torch.fx.Node) -> bool:
    """Whether the operation gives the same numbers each time, and not too many of them."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return getattr(node.target, "__module__", "") == "_operator"
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    if node.target._schema.name.partition("::")[2] in _UNKNOWN:
        return False
    results = pytree.tree_leaves(node.meta.get("val"))
    return all(r.numel() <= _MOST for r in results if isinstance(r, torch.Tensor))


def _given(program: ExportedProgram, parameters: ModelParameters, call: Call) -> Mapping[str, Any]:
    """Numbers of constants, buffers, frozen tables, and of indices and masks that were passed."""
    found: dict[str, Any] = {}
    remade = remade_buffers(parameters.model)
    passed = iter(leaf for leaf in pytree.tree_leaves((call.args, _ordered(program, call))))
    for spec in program.graph_signature.input_specs:
        tensor: Any = None
        if spec.kind == InputKind.USER_INPUT:
            tensor = next(passed)
            if not _is_index_or_mask(tensor):
                continue
            if tensor.is_meta and "mask" in str(spec.arg.name):
                tensor = torch.ones(tensor.shape, dtype=tensor.dtype)
        elif spec.kind == InputKind.CONSTANT_TENSOR and spec.target is not None:
            tensor = program.constants[spec.target]
        elif spec.kind == InputKind.BUFFER and spec.target is not None:
            tensor = remade.get(spec.target, parameters.tensor(spec.target))
        elif spec.kind == InputKind.PARAMETER and spec.target is not None:
            tensor = parameters.tensor(spec.target)
            if tensor.requires_grad or tensor.numel() > _MOST_FROZEN:
                continue
            tensor = tensor.detach()
        if isinstance(tensor, torch.Tensor) and not tensor.numel():
            tensor = torch.empty(tensor.shape, dtype=tensor.dtype)  # on the meta device too
        if _has_numbers(tensor):
            found[str(spec.arg.name)] = tensor.detach().cpu().clone()
    return found


def _is_index_or_mask(value: Any) -> bool:
    """Whether an input is not floating-point, or holds −∞, which only masks do."""
    if not isinstance(value, torch.Tensor):
        return False
    return not value.is_floating_point() or (not value.is_meta and bool(value.isneginf().any()))


def _ordered(program: ExportedProgram, call: Call) -> dict[str, Any]:
    """Keyword arguments in the order of the program's placeholders."""
    names = program.call_spec.in_spec.child(1).context or ()
    return {name: call.kwargs[name] for name in names}


def _has_numbers(tensor: Any) -> bool:
    return (
        type(tensor) in (torch.Tensor, torch.nn.Buffer)
        and not tensor.is_meta
        and not tensor.is_complex()
        and tensor.numel() <= _MOST
    )
