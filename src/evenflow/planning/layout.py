"""Layouts: which axes of a weight are summed over, which are produced, which stand side by side.

Frameworks lay the same weight out differently: (out, in, *taps) in PyTorch and Equinox, (in, out)
and (*taps, in, out) in Keras and Flax. Named axes say which is which, so that fans are true in
each, and every layout holds the same weight: it is drawn as (side by side…, out, in, *taps) and
handed over with its axes in the layout's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from evenflow.errors import InputError

Axes = int | Sequence[int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The axes of a weight by what they do, counted as Python counts, from either end.

    All other axes are taps: every output sums over them, as over ``in_axis``. The names and the
    default, (*taps, in, out), are those of ``jax.nn.initializers``.
    """

    in_axis: Axes = -2
    """Summed over forwards."""
    out_axis: Axes = -1
    """Produced; summed over backwards."""
    batch_axis: Axes = ()
    """Weights side by side, one an expert or a channel, that no sum runs over."""

    def __post_init__(self) -> None:
        for name in ("in_axis", "out_axis", "batch_axis"):  # lists, as JSON has them, do not hash
            axes = getattr(self, name)
            object.__setattr__(self, name, axes if isinstance(axes, int) else tuple(axes))

    def fans(self, shape: Shape) -> tuple[int, int]:
        """Terms summed forwards into one output, and backwards into one input: (in, out) · taps.

        Raises:
            InputError: an axis that ``shape`` doesn't have, or one that is named twice.
        """
        _, out, into, taps = self._sizes(shape)
        return prod(into + taps), prod(out + taps)

    def drawn_shape(self, shape: Shape) -> Shape:
        """The shape that a weight of ``shape`` is drawn in: (side by side…, out, in, *taps)."""
        batch, out, into, taps = self._sizes(shape)
        return (*batch, prod(out), prod(into), *taps)

    def hand_over(self, drawn: Any, shape: Shape) -> Any:
        """``drawn``, an array of ``drawn_shape(shape)``, in this layout: an array of ``shape``."""
        order = [axis for group in self._groups(shape) for axis in group]
        places = [order.index(axis) for axis in range(len(shape))]
        return drawn.reshape([shape[axis] for axis in order]).transpose(places)

    def _sizes(self, shape: Shape) -> tuple[Shape, ...]:
        return tuple(tuple(shape[axis] for axis in group) for group in self._groups(shape))

    def _groups(self, shape: Shape) -> tuple[Shape, ...]:
        """Axes side by side, of the output, of the input, and of the taps."""
        named = [
            tuple(_place(axis, shape) for axis in ((axes,) if isinstance(axes, int) else axes))
            for axes in (self.batch_axis, self.out_axis, self.in_axis)
        ]
        taken = [axis for group in named for axis in group]
        if len(set(taken)) < len(taken):
            raise InputError(f"{self} names an axis of the shape {shape} twice")
        taps = tuple(axis for axis in range(len(shape)) if axis not in taken)
        return (*named, taps)


def _place(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise InputError(
            f"a weight of shape {shape} has no axis {axis}, so its fans are unknown",
            remedy="name its axes (in_axis, out_axis, batch_axis), or use an initialiser that "
            "needs no fans",
        )
    return axis % len(shape)
