"""Sequences: Moments by distance in time ↔ the covariance of every two moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra.layout import dims_of
from evenflow.graph.moments import Array, Atom, Moments

_DISTANCES = 16
"""Distances in time that are told apart."""


def lags_of(x: Moments, batch: int | None, time: int | None) -> Array:
    """E[x·x′] of one unit, (same example or another, distance in time); an axis that is None is
    not there."""
    pairs, kept = x.pairs, []
    for axis in reversed(range(len(x.axes))):
        dims = dims_of(x, axis)
        if axis in (batch, time) and dims:
            pairs = _one(pairs, dims[0], [atom.size for atom in x.axes[axis]])
            kept.append(axis)
        else:
            for dim in reversed(dims):
                pairs = np.take(pairs, 0, axis=dim)
    if time not in kept:
        pairs = pairs[..., None]
    elif batch in kept and batch is not None and time is not None and time < batch:
        pairs = pairs.T
    if batch not in kept:
        pairs = pairs[None]
    return np.stack([pairs[0], pairs[-1]])


def _one(pairs: Array, dim: int, sizes: list[int]) -> Array:
    return pairs if len(sizes) == 1 else pairing.joined(pairs, dim, sizes)


def sequence(lags: Array, moments: int) -> Array:
    """Of every two moments, (same example or another, moment, moment): by their distance."""
    apart = np.abs(np.subtract.outer(np.arange(moments), np.arange(moments)))
    return np.asarray(lags[:, np.minimum(apart, lags.shape[1] - 1)])


def of_lags(
    covariance: Array,
    means: Sequence[Array],
    shape: tuple[int, ...],
    batch: int | None,
    time: int | None,
) -> Moments:
    """Moments of a tensor of ``shape`` whose last axis are units: ``covariance`` is E[x·x′] of one
    unit at every two moments, ``means`` of groups of units at each moment. Between units only the
    means are alike. That the first moments are smaller counts as spread."""
    length = 1 if time is None else shape[time]
    weights = _weights(covariance.shape[-1], length)
    mean = np.mean(means, axis=0)
    between = np.broadcast_to(np.outer(mean, mean), covariance.shape)
    lags = np.stack([_by_distance(c, weights, length) for c in (covariance, between)])
    # (same unit or another, same example or another, distance) → the order of the axes
    axes: list[tuple[Atom, ...]] = []
    order = []
    for axis, size in enumerate(shape):
        role = "positions" if axis == time else "examples" if axis == batch else "units"
        axes.append((Atom(size, role),) if size != 1 else ())  # type: ignore[arg-type]
        if size != 1:
            order.append(2 if axis == time else 1 if axis == batch else 0)
    seconds = np.diagonal(covariance[0])
    second = float(weights @ seconds)
    spread = float(weights @ seconds**2) / second**2 - 1 if second > 0 else 0.0
    pairs = _placed(lags, order)
    return Moments(float(weights @ mean), pairs, tuple(axes), spread=max(spread, 0.0))


def _weights(moments: int, length: int) -> Array:
    """Share of each moment that was run through: the later half stands for all that follow."""
    weights = np.ones(moments)
    half = moments // 2
    weights[half:] += (length - moments) / max(moments - half, 1)
    return np.asarray(weights / weights.sum())


def _by_distance(covariance: Array, weights: Array, length: int) -> Array:
    """Means over pairs of moments at each distance, the last for all beyond."""
    count = covariance.shape[-1]
    kept = min(_DISTANCES, length, max(count, 1)) if length > 1 else 1
    found = []
    for d in range(kept):
        last = count if d == kept - 1 and d else d + 1
        near = [np.diagonal(covariance, k, 1, 2) * weights[k:] for k in range(d, last)]
        total = sum(weights[k:].sum() for k in range(d, last))
        found.append(sum(part.sum(axis=1) for part in near) / max(total, 1e-300))
    return np.stack(found, axis=1)


def _placed(lags: Array, order: list[int]) -> Array:
    """Dimensions in this order; one that is named twice (layers and units) only differs from
    itself in that both differ, one that is not named is dropped."""
    result = np.empty([lags.shape[dim] for dim in order])
    for index in np.ndindex(*result.shape):
        at = [0, 0, 0]
        for dim, entry in zip(order, index, strict=True):
            at[dim] = max(at[dim], entry)
        result[index] = lags[tuple(at)]
    return result
