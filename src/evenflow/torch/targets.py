"""Targets: what a command works on, from a user's factory and from shapes and files of arrays."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from evenflow.errors import InputError
from evenflow.torch.losses import LossFunction
from evenflow.torch.train import seeded

_SHAPE = re.compile(r"[0-9]+(x[0-9]+)*")
_RETURNS = (
    "return a model, (model, inputs), (model, inputs, target), or a mapping with model, inputs, "
    "target, loss and data"
)


@dataclass(frozen=True)
class Target:
    """A model, and how to call and judge it."""

    model: torch.nn.Module
    inputs: Any = None
    """A tensor, a tuple (positional) or a mapping (keywords); None if the factory gave none."""
    target: Any = None
    loss: str | LossFunction | None = None
    data: tuple[Any, Any] | None = None
    """(inputs, target) of a whole data set to train on."""


def from_factory(factory: Callable[[], Any], where: str, seed: int) -> Target:
    """Call a user's factory, torch's random generators starting from ``seed``.

    It returns a model, (model, inputs), (model, inputs, target), or a mapping with some of the
    fields of ``Target``; ``factory`` may also be a model itself. Raises ``InputError`` if it
    raises or returns something else.
    """
    if isinstance(factory, torch.nn.Module):
        return Target(factory)
    try:
        with seeded(seed):
            made = factory()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the factory raised {told(error)}",
            where=where,
            remedy="call it in Python to see the whole traceback",
        ) from error
    return _read(made, where)


def told(error: BaseException) -> str:
    """An exception in a line: its type, its message, and the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {message}' if message else ''}{place}"


def _read(made: Any, where: str) -> Target:
    if isinstance(made, torch.nn.Module):
        return Target(made)
    if isinstance(made, tuple) and 2 <= len(made) <= 3:
        fields = dict(zip(("model", "inputs", "target"), made, strict=False))
    elif isinstance(made, Mapping):
        fields = dict(made)
        if unknown := sorted(map(str, fields.keys() - Target.__dataclass_fields__.keys())):
            raise InputError(
                f"the factory returned a mapping with unknown keys: {', '.join(unknown)}",
                where=where,
                remedy=_RETURNS,
            )
    else:
        raise InputError(
            f"the factory returned {type(made).__name__}", where=where, remedy=_RETURNS
        )
    if not isinstance(fields.get("model"), torch.nn.Module):
        raise InputError(
            f"the factory's model is {type(fields.get('model')).__name__}, not a torch.nn.Module",
            where=where,
            remedy=_RETURNS,
        )
    return Target(**fields)


def with_inputs(target: Target, text: str, seed: int) -> Target:
    """``target`` with the inputs that ``text`` stands for.

    ``text`` is a shape such as "32x1x28x28" (standard normal values from ``seed``) or the path of
    a .npy, .npz or .safetensors file; a file of several arrays is passed by keywords. Floating
    values take the model's own type and device.
    """
    parameter = next((p for p in target.model.parameters() if p.is_floating_point()), None)
    like = parameter if parameter is not None else torch.empty(0)

    def fitted(tensor: torch.Tensor) -> torch.Tensor:
        dtype = like.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(like.device, dtype)

    if _SHAPE.fullmatch(text):
        shape = shape_of(text)
        generator = torch.Generator().manual_seed(seed)
        return replace(target, inputs=fitted(torch.randn(shape, generator=generator)))
    arrays = read_arrays(Path(text))
    if len(arrays) == 1:
        return replace(target, inputs=fitted(*arrays.values()))
    return replace(target, inputs={name: fitted(tensor) for name, tensor in arrays.items()})


def shape_of(text: str) -> tuple[int, ...]:
    """The shape that is written as "32x1x28x28"; every size is at least 1."""
    if not _SHAPE.fullmatch(text) or not all(sizes := tuple(map(int, text.split("x")))):
        raise InputError(
            f"{text!r} is no shape", where="--inputs", remedy="write sizes above 0: 32x1x28x28"
        )
    return sizes


def read_target(path: Path) -> torch.Tensor:
    """The one array of a file, as the target of a loss."""
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise InputError(
            f"a target is one array, and the file has {len(arrays)}: {', '.join(arrays)}",
            where=str(path),
        )
    (tensor,) = arrays.values()
    return tensor.float() if tensor.is_floating_point() else tensor


def read_arrays(path: Path) -> dict[str, torch.Tensor]:
    """Arrays of a .npy, .npz or .safetensors file by name ("" in a .npy); nothing is unpickled."""
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, torch.Tensor] = load_file(path)
            return tensors
        if path.suffix not in (".npy", ".npz"):
            raise InputError(
                "arrays are read from .npy, .npz and .safetensors files",
                where=str(path),
                remedy="or write a shape, such as 32x1x28x28",
            )
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    except OSError as error:
        raise InputError(
            f"the arrays cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    except (ValueError, TypeError, EOFError, BadZipFile, SafetensorError) as error:
        raise InputError(
            f"the arrays cannot be read: {' '.join(str(error).split())}",
            where=str(path),
            remedy="save numbers with numpy.save, numpy.savez or safetensors; pickles are not read",
        ) from error
