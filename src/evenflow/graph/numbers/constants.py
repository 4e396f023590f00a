"""Constants: Moments of numbers that follow from the code alone, masks and positions among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.layout import reshaped
from evenflow.graph.moments import Array, Moments, Role, axes_of
from evenflow.graph.numbers.measured import measured

HIDING, SEEN = -99.0, -20.0
"""Code that hides keys from a softmax adds −∞, the smallest number of a type, −1e9, −1e4 or −100,
and to the others nothing or little."""
_DISTANCES = 7
"""How far apart positions are told from strangers: those of a table of waves are alike near by."""
_MOST = 128
"""Masks are told by so many places along each axis."""


def of_constants(values: Mapping[str, npt.NDArray[Any]]) -> dict[str, Moments]:
    """Moments of many such arrays; what is only a view of another is measured once."""
    known: dict[object, Moments] = {}
    found = {}
    for name, array in values.items():
        told = [(n, s) for n, s in zip(array.shape, array.strides, strict=True) if n != 1]
        key = array.__array_interface__["data"], array.dtype, tuple(told)
        if key not in known:
            known[key] = of_constant(array)
        found[name] = reshaped(known[key], array.shape) if array.size else known[key]
    return found


def of_constant(values: npt.NDArray[Any]) -> Moments:
    """Moments of an array of numbers that no draw changes.

    Very negative numbers are no Moments' business: they mark what a softmax is not to see; nor is
    what is infinite or no number at all, which some later choice leaves out. An axis that only
    repeats the same memory (an expanded one) makes no difference between elements.
    """
    core, copied = core_of(values)
    if core.dtype.kind != "f":
        core = core[tuple(slice(None, None, -(-size // _MOST)) for size in core.shape)]
    numbers, hidden = _numbers(core)
    found = measured(numbers, _roles(core.ndim), _DISTANCES if core.ndim <= 3 else 0)
    axes, pairs, dim = axes_of(values.shape, _roles(core.ndim)), found.pairs, 0
    for atoms, is_copy in zip(axes, copied, strict=True):
        if is_copy:
            pairs = np.expand_dims(pairs, dim)
        dim += len(atoms)
    return replace(found, pairs=pairs, axes=axes, hidden=hidden if hidden.any() else None)


def _numbers(core: npt.NDArray[Any]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """What is to be measured, and what is hidden."""
    numbers = np.array(core, dtype=np.float64)
    hidden = np.zeros(1, dtype=bool)
    if core.dtype.kind == "f":
        numbers[np.isnan(numbers) | np.isposinf(numbers)] = 0.0
        between = (numbers > HIDING) & (numbers < SEEN)
        hidden = np.isneginf(numbers) if between.any() else numbers <= HIDING
    if hidden.any():
        numbers[hidden] = 0.0 if hidden.all() else numbers[~hidden].mean()
    return numbers, hidden


def core_of(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], list[bool]]:
    """An array without the copies that an expanded one has, and which axes had any."""
    copied = [
        size != 1 and stride == 0 for size, stride in zip(values.shape, values.strides, strict=True)
    ]
    return values[tuple(slice(0, 1) if each else slice(None) for each in copied)], copied


def _roles(rank: int) -> tuple[Role, ...]:
    """Constants differ from position to position, and vectors of them hold units."""
    roles: list[Role] = ["positions"] * max(rank - 1, 0)
    return (*roles, "units") if rank else ()
