"""Names of a model's tensors: canonical, tied ones recognised, wrappers looked through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from evenflow.errors import InputError
from evenflow.graph.graph import Parameter
from evenflow.graph.moments import Moments
from evenflow.sampling.contract import canonical_name
from evenflow.torch.computed import computed_values
from evenflow.torch.defaults import default_moments


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """The user's own module inside DataParallel, DistributedDataParallel and torch.compile."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"a model must be a torch.nn.Module, not {type(model).__name__}",
            remedy="pass the module itself, not its class or its output",
        )
    while True:
        if isinstance(model, (DataParallel, DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), torch.nn.Module):
            model = inner
        else:
            return model


class ModelParameters:
    """Parameters and buffers of a model by canonical name.

    A tensor registered under several names (tied weights) stands under the first of them; the
    others are its aliases. So do tensors that are views of exactly the same memory.

    Raises ``InputError`` for a lazy module that has not run yet, and for two tensors whose names
    are the same without what wraps the model.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = unwrap(model)
        self._buffers = {id(b) for b in self.model.buffers()}
        first: dict[object, str] = {}
        raw_names: dict[str, str] = {}
        self._first: dict[str, str] = {}  # every canonical name -> the name that it stands under
        self.tensors: dict[str, torch.Tensor] = {}
        members = [
            *self.model.named_parameters(remove_duplicate=False),
            *self.model.named_buffers(remove_duplicate=False),
        ]
        for raw, tensor in members:
            name = canonical_name(raw)
            _require_usable(raw, tensor, raw_names.setdefault(name, raw))
            self._first[name] = first.setdefault(_identity(tensor), name)
            self.tensors.setdefault(self._first[name], tensor)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Canonical names of the parameters (no buffers), in the model's order, each once."""
        return tuple(n for n, t in self.tensors.items() if id(t) not in self._buffers)

    def tensor(self, name: str) -> torch.Tensor:
        """The live tensor of a name, raw or canonical, alias or first."""
        return self.tensors[self._first[canonical_name(name)]]

    def describe(self, name: str) -> Parameter:
        """The Graph's view of a tensor."""
        first = self._first[canonical_name(name)]
        tensor = self.tensors[first]
        return Parameter(
            name=first,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            trainable=tensor.requires_grad,
            buffer=id(tensor) in self._buffers,
            aliases=tuple(n for n, f in self._first.items() if f == first and n != first),
        )

    def describe_with_buffers(self) -> dict[str, Parameter]:
        """All parameters and buffers by name."""
        return {name: self.describe(name) for name in self.tensors}

    @cached_property
    def laws(self) -> dict[str, Moments]:
        """What initialisers would draw of the tensors on the meta device."""
        meta = {name: tensor for name, tensor in self.tensors.items() if tensor.is_meta}
        return default_moments(self.model, meta) if meta else {}

    @cached_property
    def values(self) -> dict[str, torch.Tensor]:
        """All tensors that have values, those on the meta device that initialisers compute among
        them."""
        real = {name: tensor for name, tensor in self.tensors.items() if not tensor.is_meta}
        unknown = self.tensors.keys() - real.keys() - self.laws.keys()
        return real | computed_values(self.model, [n for n in self.names if n in unknown])

    @contextmanager
    def restored_on_failure(self, names: Iterable[str] | None = None) -> Iterator[None]:
        """Put the parameters ``names``, by default all, back as they were if anything fails."""
        before = {
            name: self.tensors[name].detach().clone()
            for name in (self.names if names is None else names)
            if not self.tensors[name].is_meta
        }
        try:
            yield
        except BaseException:
            with torch.no_grad():
                for name, values in before.items():
                    self.tensors[name].detach().copy_(values)
            raise


def _identity(tensor: torch.Tensor) -> object:
    """What two names of the same numbers have in common."""
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    if not plain or tensor.is_meta or not tensor.numel():
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _require_usable(raw: str, tensor: torch.Tensor, namesake: str) -> None:
    if is_lazy(tensor):
        raise InputError(
            "the parameter has no shape yet",
            where=raw,
            remedy="run the model once on a batch, so that its lazy modules take shape",
        )
    if namesake != raw:
        raise InputError(
            f"{raw} and {namesake} are both called {canonical_name(raw)} without the wrappers",
            remedy="rename a module: 'module', '_orig_mod', 'base_layer' and their like are "
            "names that wrappers give",
        )
