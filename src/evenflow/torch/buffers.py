"""Buffers after ``to_empty``: no plan speaks of them, but most modules can remake theirs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

_ALWAYS = ("reset_running_stats",)
"""Methods that write buffers alone: torch's normalisation layers."""
_WITHOUT_PARAMETERS = ("reset_buffers", "reset_parameters", "rope_init")
"""Methods that remake everything a module holds; called where it holds no parameters of its own."""


class Buffers(NamedTuple):
    """What became of a model's buffers, by name as in ``named_buffers``."""

    restored: tuple[str, ...]
    left: tuple[str, ...]
    """Left as found, since their modules have no means to remake them. After ``to_empty`` these
    hold whatever was in memory."""


def restore_buffers_(model: torch.nn.Module) -> Buffers:
    """Have every module remake its buffers; call it after ``model.to_empty``.

    The means are the modules' own: ``reset_running_stats`` (running statistics);
    ``reset_buffers``, ``reset_parameters`` or ``rope_init`` of modules that have no parameters of
    their own; and ``_init_weights`` of a Transformers model (rotary tables). Parameters are not
    written and torch's random generators are afterwards where they were. What has no such means
    is named in ``left``: write those yourself.
    """
    restored: list[str] = []
    left: list[str] = []
    with torch.no_grad(), torch.random.fork_rng(devices=_devices(model)):
        for path, module, means in _modules(model, None):
            before = {name: _mark(b) for name, b in _own(module).items()}
            for remake in means:
                remake()
            for name, buffer in _own(module).items():
                said = f"{path}.{name}" if path else name
                (restored if _mark(buffer) != before.get(name) else left).append(said)
    return Buffers(tuple(restored), tuple(left))


def remade_buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Numbers of buffers that are on the meta device, as far as their modules can remake them.

    The model is left as it is: each module writes to a stand-in that has buffers of its own.
    """
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad(), torch.random.fork_rng(devices=_devices(model)):
        for path, module, _ in _modules(model, None):
            if not all(t.is_meta for t in (*_own(module).values(), *module.parameters())):
                continue
            stand_in = copy.copy(module)
            stand_in._buffers = {
                name: None if buffer is None else torch.empty_like(buffer, device="cpu")
                for name, buffer in module._buffers.items()
            }
            before = {name: _mark(b) for name, b in _own(stand_in).items()}
            for remake in _means(stand_in, _writer_of(model, path)):
                remake()
            for name, buffer in _own(stand_in).items():
                if _mark(buffer) != before.get(name) and not buffer.is_meta:
                    found[f"{path}.{name}" if path else name] = buffer
    return found


def _writer_of(model: torch.nn.Module, path: str) -> Callable[[Any], Any] | None:
    """The ``_init_weights`` of the nearest Transformers model around a module."""
    writer = getattr(model, "_init_weights", None)
    for end in (place for place, letter in enumerate(path) if letter == "."):
        writer = getattr(model.get_submodule(path[:end]), "_init_weights", writer)
    return writer


def _modules(
    module: torch.nn.Module, writer: Callable[[Any], Any] | None, path: str = ""
) -> Iterator[tuple[str, torch.nn.Module, list[Callable[[], Any]]]]:
    """Each module with buffers of its own, with its path and its means.

    ``writer`` is the ``_init_weights`` of the nearest Transformers model around it.
    """
    writer = getattr(module, "_init_weights", writer)
    if _own(module):
        yield path, module, _means(module, writer)
    for name, child in module.named_children():
        yield from _modules(child, writer, f"{path}.{name}" if path else name)


def _means(module: torch.nn.Module, writer: Callable[[Any], Any] | None) -> list[Callable[[], Any]]:
    bare = next(module.parameters(recurse=False), None) is None
    names = (*_ALWAYS, *_WITHOUT_PARAMETERS) if bare else _ALWAYS
    found = [getattr(module, name) for name in names if _callable(getattr(module, name, None))]
    if not found and bare and writer is not None:
        return [lambda: writer(module)]
    return found[:1]


def _callable(method: object) -> bool:
    """Whether it can be called without arguments."""
    if not callable(method):
        return False
    parameters = inspect.signature(method).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
               for p in parameters)  # fmt: skip


def _own(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_buffers(recurse=False))


def _mark(buffer: torch.Tensor) -> tuple[int, int, int]:
    """Changes when the buffer is written to, or another tensor takes its place."""
    return id(buffer), buffer._version, 0 if buffer.is_meta else buffer.data_ptr()


def _devices(model: torch.nn.Module) -> list[int]:
    return sorted({b.device.index or 0 for b in model.buffers() if b.is_cuda})
