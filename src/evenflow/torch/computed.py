"""Computed: parameters that an initialiser works out, for a model that has no memory yet.

Most initialisers draw, and ``torch.defaults`` tells by which law. Some compute: the decays of a
state-space block are logarithms of 1, 2, 3 …, its rates the inverse of a softplus. The largest
module around them for which there is memory is made there, by itself, and initialised; of modules
that are alike one stands for all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import suppress

import torch
from torch import nn

from evenflow.sampling.contract import canonical_name

_MOST = 2**26
"""Elements of a module that is made in memory."""
_FAULTS = (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, IndexError)


def computed_values(model: nn.Module, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Values of those of the model's meta parameters that its modules' own initialisers compute.

    What no initialiser writes, or only that of a module too large for memory, is left out.
    """
    found: dict[str, torch.Tensor] = {}
    known: dict[object, nn.Module] = {}
    modules = {canonical_name(raw): module for raw, module in model.named_modules()}
    for name in names:
        for place in _owners(name):
            module = modules[place]
            if sum(tensor.numel() for tensor in module.parameters()) > _MOST:
                continue
            kind = _kind(module)
            if kind not in known:
                known[kind] = _initialised(model, module)
            value = known[kind].get_parameter(name[len(place) + 1 if place else 0 :])
            if not bool(torch.isnan(value).any()):
                found[name] = value.detach()
                break
    return found


def _owners(name: str) -> Iterator[str]:
    """Modules that hold a parameter, the largest first: it writes over what the others wrote."""
    parts = name.split(".")[:-1]
    for count in range(len(parts) + 1):
        yield ".".join(parts[:count])


def _kind(module: nn.Module) -> object:
    """What modules have in common that are initialised alike."""
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in module.named_parameters())
    return type(module), repr(module), shapes


def _initialised(model: nn.Module, module: nn.Module) -> nn.Module:
    """A copy in memory, initialised as the model would do; NaN where nothing is written."""
    made = copy.deepcopy(module)
    for each in made.modules():
        for name, tensor in list(each._parameters.items()):
            if tensor is not None and tensor.is_meta:
                empty = torch.full(tensor.shape, torch.nan, dtype=tensor.dtype)
                each._parameters[name] = nn.Parameter(empty, requires_grad=False)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for each in reversed(list(made.modules())):  # children first
            with suppress(*_FAULTS):
                _initialise(model, each)
    return made


def _initialise(model: nn.Module, module: nn.Module) -> None:
    whole = getattr(model, "_init_weights", None)  # of Transformers' models, module by module
    if callable(whole):
        whole(module)
        return
    for name in ("_reset_parameters", "reset_parameters"):
        own = getattr(module, name, None)
        if callable(own):
            own()
            return
