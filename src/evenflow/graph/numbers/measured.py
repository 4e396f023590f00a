"""Moments of an array of numbers: of inputs, of constants, of whatever was drawn or computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.pairs import counts
from evenflow.graph.moments import Array, Moments, Role, axes_of

_NEIGHBOURS = 5
_MOST = 7
"""Axes along which pairs are told apart; each one doubles the work."""


def measured(values: npt.ArrayLike, roles: Sequence[Role] = (), distances: int = 0) -> Moments:
    """Moments of ``values``: every pair of elements counts, grouped by where the two differ.

    ``roles`` name the axes (all units if not given). Along positions, ``distances`` > 0 tells that
    many distances apart: neighbouring pixels are more alike than far ones.
    """
    x = np.asarray(values, dtype=np.float64)
    axes = axes_of(x.shape, roles)
    kept = x.reshape([atom.size for axis in axes for atom in axis])
    if kept.ndim > _MOST or kept.size == 0:
        mean = float(kept.mean()) if kept.size else 0.0
        pairs = np.full((2,) * kept.ndim, mean**2)
        pairs.flat[0] = float(np.mean(kept**2)) if kept.size else 0.0
        return Moments(mean, pairs, axes)
    named = [atom.role for axis in axes for atom in axis]
    ordered = [role == "positions" and distances > 0 for role in named]
    lengths = [
        min(distances + 2, size) if by_distance else 2
        for size, by_distance in zip(kept.shape, ordered, strict=True)
    ]
    pairs = np.empty(lengths)
    near = [
        range(length - 1) if o else range(1) for length, o in zip(lengths, ordered, strict=True)
    ]
    for shift in product(*near):
        _fill(pairs, kept, shift)
    spread = _spread(kept, named)
    return Moments(float(x.mean()), _told_apart(pairs, kept.shape), axes, spread=spread)


_NOTHING = 1e-150
"""A mean square whose square is no number."""


def _spread(x: Array, roles: Sequence[Role]) -> float:
    """Relative variance of the mean square from one position to another.

    That of pixels is taken over neighbourhoods of 5 × 5, about what a convolution reads of them.
    """
    if "examples" not in roles or x.shape[roles.index("examples")] < 2:
        return 0.0
    energy = np.square(x)
    units = tuple(axis for axis, role in enumerate(roles) if role == "units")
    energy = energy.mean(axis=units, keepdims=True)
    places = [axis for axis, role in enumerate(roles) if role == "positions"]
    for axis in places if len(places) > 1 else ():
        width = min(_NEIGHBOURS, energy.shape[axis])
        energy = np.lib.stride_tricks.sliding_window_view(energy, width, axis).mean(-1)
    mean = float(energy.mean())
    return float(energy.var()) / mean**2 if mean > _NOTHING else 0.0


def _fill(pairs: Array, x: Array, shift: tuple[int, ...]) -> None:
    """Entries for one choice of distances: each axis at that distance, or summed over all pairs.

    The last entry along each axis first holds the mean over *all* pairs of indices.
    """
    known: dict[tuple[int, ...], Array] = {(): x}
    for everywhere in product((False, True), repeat=x.ndim):
        if any(e and s for e, s in zip(everywhere, shift, strict=True)):
            continue  # such a mean was filled with the distance 0
        axes = tuple(axis for axis, every in enumerate(everywhere) if every)
        if axes:  # a mean over the first axis of means over the others
            known[axes] = known[axes[1:]].mean(axis=axes[0], keepdims=True)
        means = known[axes]
        index = tuple(-1 if every else s for every, s in zip(everywhere, shift, strict=True))
        pairs[index] = _at_distance(means, shift)


def _at_distance(means: Array, shift: tuple[int, ...]) -> float:
    moved = [axis for axis, s in enumerate(shift) if s]
    ahead = tuple(slice(s, None) for s in shift)
    behind = tuple(slice(None, size - s) for size, s in zip(means.shape, shift, strict=True))
    if len(moved) < 2:
        return float(np.mean(means[ahead] * means[behind]))
    # Two directions: down to the right and down to the left are the same distance.
    other_ahead, other_behind = list(ahead), list(behind)
    other_ahead[moved[-1]], other_behind[moved[-1]] = behind[moved[-1]], ahead[moved[-1]]
    straight = np.mean(means[ahead] * means[behind])
    across = np.mean(means[tuple(other_ahead)] * means[tuple(other_behind)])
    return float(straight + across) / 2


def _told_apart(pairs: Array, sizes: Sequence[int]) -> Array:
    """From means over all pairs along an axis to means over those that the other entries leave."""
    for axis, size in enumerate(sizes):
        occurs = counts(size, pairs.shape[axis])
        moved = np.moveaxis(pairs, axis, 0)
        others = np.tensordot(occurs[:-1], moved[:-1], axes=(0, 0))
        if occurs[-1] > 0:
            moved[-1] = (float(size) ** 2 * moved[-1] - others) / occurs[-1]
        else:
            moved[-1] = moved[-2]
    return pairs
