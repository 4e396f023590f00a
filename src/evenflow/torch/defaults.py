"""Defaults: what a module's own initialisation would draw, for a model that has no memory yet.

On the meta device initialisers run and write nothing. Here they are run once and watched: which
law each of them would have written into which parameter is what a model holds after ``to_empty``
and its own ``reset_parameters``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evenflow.graph.laws.drawn import truncated, uniform
from evenflow.graph.laws.law import Law
from evenflow.graph.moments import Moments

_DONE = "_is_hf_initialized"
"""Transformers marks what it has initialised, and skips it from then on."""


class _Drawn(NamedTuple):
    """What an initialiser draws from."""

    mean: float
    second: float
    law: Law | None = None

    def scaled(self, factor: float) -> _Drawn:
        law = self.law.reflected() if self.law is not None and factor < 0 else self.law
        return _Drawn(factor * self.mean, factor**2 * self.second, law)

    def shifted(self, by: float) -> _Drawn:
        return _Drawn(self.mean + by, self.second + 2 * self.mean * by + by**2, self.law)


_UNKNOWN = _Drawn(math.nan, math.nan)


def default_moments(
    model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]
) -> dict[str, Moments]:
    """Moments of each of the model's meta ``tensors`` that the modules' own initialisers write.

    Those of ``reset_parameters``, or of the whole model's ``initialize_weights`` where it has one
    (as Transformers' models do). What no initialiser writes is left out.
    """
    real = [t for t in (*model.parameters(), *model.buffers()) if not t.is_meta]
    watcher = _Watcher({_storage(tensor) for tensor in real})
    with (
        torch.no_grad(),
        _unmarked(model),
        patch("torch.nn.init._no_grad_trunc_normal_", watcher.truncated),
        patch("torch.nn.init.orthogonal_", watcher.orthogonal),
        torch.random.fork_rng(devices=[]),
        watcher,
    ):
        for initialise in _initialisers(model):
            try:
                initialise()
            except (RuntimeError, NotImplementedError, TypeError, ValueError):
                continue  # an initialiser that computes with values: those are not known
    found = {}
    for name, tensor in tensors.items():
        drawn = watcher.drawn.get(_storage(tensor)) if tensor.is_meta else None
        if drawn is not None and tensor.is_floating_point():
            moments = Moments.independent(drawn.mean, drawn.second, tuple(tensor.shape))
            found[name] = replace(moments, law=drawn.law) if tensor.dim() == 1 else moments
    return found


def _initialisers(model: torch.nn.Module) -> Iterator[Callable[[], Any]]:
    whole = getattr(model, "initialize_weights", None)
    if callable(whole):
        yield whole
        return
    for module in reversed(list(model.modules())):  # as constructors do: children first
        for name in ("_reset_parameters", "reset_parameters"):
            own = getattr(module, name, None)
            if callable(own):
                yield own
                break


@contextmanager
def _unmarked(model: torch.nn.Module) -> Iterator[None]:
    """Without the marks by which an initialiser knows what it has done, which come back after."""
    holders: list[Any] = [*model.modules(), *model.parameters(), *model.buffers()]
    marked = [(holder, holder.__dict__.pop(_DONE)) for holder in holders if _DONE in vars(holder)]
    try:
        yield
    finally:
        for holder in holders:
            vars(holder).pop(_DONE, None)
        for holder, mark in marked:
            setattr(holder, _DONE, mark)


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows what is written into each tensor's memory, a part of it or all."""

    def __init__(self, real: Set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn: dict[int, _Drawn] = {}
        self._real = real
        """Memory that has values already, and keeps them."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func._schema.name.removeprefix("aten::")
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if first is not None and func._schema.is_mutable and _storage(first) in self._real:
            return first
        if first is None or not first.is_meta:
            return func(*args, **(kwargs or {}))
        # What only fills a tensor without memory does nothing, and takes its time over it.
        result = first if name in _WRITTEN else func(*args, **(kwargs or {}))
        self._follow(name, args)
        return result

    def _follow(self, name: str, args: tuple[Any, ...]) -> None:
        tensor = args[0]
        if name in _WRITTEN:
            numbers = (*args[1:], *_DEFAULTS[name][len(args) - 1 :])
            self._write(tensor, _WRITTEN[name](*map(float, numbers)))
        elif name == "copy_":
            drawn = self.drawn.get(_storage(args[1])) if args[1].is_meta else _of(args[1])
            if drawn is not None:
                self._write(tensor, drawn)
            else:  # numbers that were computed, whatever was drawn before
                self.drawn.pop(_storage(tensor), None)
        elif name in ("mul_", "div_") and isinstance(args[1], (int, float)):
            factor = float(args[1]) if name == "mul_" else 1 / float(args[1])
            self._write(tensor, self.drawn.get(_storage(tensor), _UNKNOWN).scaled(factor))
        elif name in ("add_", "sub_") and isinstance(args[1], (int, float)):
            shift = float(args[1]) * (1 if name == "add_" else -1)
            self._write(tensor, self.drawn.get(_storage(tensor), _UNKNOWN).shifted(shift))

    def truncated(
        self, tensor: torch.Tensor, mean: float, std: float, a: float, b: float, **_: Any
    ) -> torch.Tensor:
        """Stands in for torch's truncated normal, which does nothing on the meta device."""
        from scipy.stats import truncnorm  # slow to import

        cut = (a - mean) / std, (b - mean) / std
        found = truncnorm(*cut, loc=mean, scale=std)
        middle, variance = float(found.mean()), float(found.var())
        self._write(tensor, _Drawn(middle, variance + middle**2, truncated(*cut)))
        return tensor

    def orthogonal(self, tensor: torch.Tensor, gain: float = 1.0, **_: Any) -> torch.Tensor:
        """Stands in for torch's orthogonal matrices, likewise."""
        rows = tensor.shape[0]
        self._write(tensor, _Drawn(0.0, gain**2 / max(rows, tensor.numel() // max(rows, 1), 1)))
        return tensor

    def _write(self, tensor: torch.Tensor, drawn: _Drawn) -> None:
        """All of a tensor's memory, or a part of it, which leaves the law of the whole unknown."""
        if math.isnan(drawn.mean) or math.isnan(drawn.second):
            return
        whole = tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)
        share = min(tensor.numel() / whole, 1.0) if whole else 1.0
        before = self.drawn.get(_storage(tensor), drawn)
        self.drawn[_storage(tensor)] = _Drawn(
            share * drawn.mean + (1 - share) * before.mean,
            share * drawn.second + (1 - share) * before.second,
            drawn.law if share == 1.0 else None,
        )


_WRITTEN: Mapping[str, Callable[..., _Drawn]] = {
    "zero_": lambda: _Drawn(0.0, 0.0),
    "fill_": lambda value: _Drawn(value, value**2),
    "normal_": lambda mean, std: _Drawn(mean, mean**2 + std**2),
    "uniform_": lambda low, high: _Drawn(
        (low + high) / 2, (low * low + low * high + high * high) / 3, uniform()
    ),
}
"""Laws of what an operation in place writes, of its numbers."""
_DEFAULTS: Mapping[str, tuple[float, ...]] = {
    "zero_": (),
    "fill_": (),
    "normal_": (0.0, 1.0),
    "uniform_": (0.0, 1.0),
}


def _of(values: torch.Tensor) -> _Drawn | None:
    """Of a tensor that has values."""
    if not values.is_floating_point() or not values.numel():
        return None
    exact = values.detach().double()
    return _Drawn(float(exact.mean()), float(exact.square().mean()))
