"""Constants: Moments of numbers that follow from the code alone, masks and positions among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evenflow.graph.measured import measured
from evenflow.graph.moments import Atom, Moments, Role

HIDING, SEEN = -99.0, -20.0
"""Code that hides keys from a softmax adds −∞, the smallest number of a type, −1e9, −1e4 or −100,
and to the others nothing or little."""


def of_constant(values: npt.NDArray[Any]) -> Moments:
    """Moments of an array of numbers that no draw changes.

    Very negative numbers are no Moments' business: they mark what a softmax is not to see; nor is
    what is infinite or no number at all, which some later choice leaves out. An axis that only
    repeats the same memory (an expanded one) makes no difference between elements.
    """

    core, copied = core_of(values)
    numbers = np.nan_to_num(core.astype(np.float64), nan=0.0, posinf=0.0, neginf=-np.inf)
    hidden = numbers <= HIDING
    if values.dtype.kind != "f" or ((numbers > HIDING) & (numbers < SEEN)).any():
        hidden = np.isneginf(numbers)
    if hidden.all():
        numbers = np.zeros_like(numbers)
    elif hidden.any():
        numbers = np.where(hidden, numbers[~hidden].mean(), numbers)
    found = measured(numbers, _roles(core.ndim))
    axes, pairs, dim = list(found.axes), found.pairs, 0
    for axis, role in enumerate(_roles(core.ndim)):
        if copied[axis]:
            axes[axis] = (Atom(values.shape[axis], role),)
            pairs = np.expand_dims(pairs, dim)
        dim += len(axes[axis])
    return replace(found, pairs=pairs, axes=tuple(axes), hidden=hidden if hidden.any() else None)


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
