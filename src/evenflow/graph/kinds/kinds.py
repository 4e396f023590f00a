"""Kinds: examples of unlike size or smoothness, each kind derived by itself.

Moments tell of all examples together. A norm that each example has for itself divides it by its own
size, an activation bends large examples more than small ones, and a mean over pixels leaves of each
image its brightness, which differs far more from image to image than its size does. So where the
examples of a batch differ they are told as a few kinds with Moments of their own, which pass the
same rules; the Moments of all are the mean over the kinds.

Of two examples a kind knows how one of its own is correlated with one of each kind: along the
examples its ``pairs`` have an entry for the same example and one for each kind, told as if both
were of this kind.

An operation that keeps examples apart takes kinds along. One that takes all of them together (batch
norm) does to each what it does to all; whatever knows no more than their mean leaves the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod, sqrt

import numpy as np

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.moments import Array, Axes, Moments, Parts
from evenflow.graph.rules.normalise import told_apart

_NOTHING = 1e-150

Kinds = tuple[Moments, ...]


def mean_of(kinds: Kinds, whole: Moments) -> Moments:
    """The mean over kinds, for all else than their numbers as ``whole``."""
    dim = dim_of_examples(whole)
    if dim is None:  # a parameter: what it got from all
        return whole
    alone, others = told(kinds)
    pairs = np.stack([alone.mean(axis=0), _over_pairs(others, whole.axes)], axis=dim)
    second = float(pairs.flat[0])
    squares = np.array([kind.second**2 for kind in kinds])
    within = np.array([1 + kind.spread for kind in kinds])
    spreads = (
        max(float(np.mean(each)) / second**2 - 1, 0.0) if second > _NOTHING else 0.0
        for each in (within * squares, squares)
    )
    spread, of_examples = spreads
    mean = float(np.mean([kind.mean for kind in kinds]))
    found = replace(whole, mean=mean, pairs=pairs, spread=spread, spread_examples=of_examples)
    return replace(found, parts=_mean_of_parts(kinds, whole.parts))


def _mean_of_parts(kinds: Kinds, whole: Parts | None) -> Parts | None:
    """Of what all kinds were joined of (``laws.joined``)."""
    each = [kind.parts.each for kind in kinds if kind.parts is not None]
    if whole is None or len(each) < len(kinds):
        return None
    parts = zip(zip(*each, strict=True), whole.each, strict=True)
    return Parts(whole.axis, tuple(mean_of(*pair) for pair in parts))


def told_together(x: Moments) -> Moments:
    """An input without its kinds."""
    if not x.kinds:
        return x
    return replace(x, kinds=(), spread_examples=mean_of(x.kinds, x).spread_examples)


def as_corrected(kinds: Kinds, before: Moments, after: Moments) -> Kinds:
    """Kinds of a value of which all together, ``before``, have since been found otherwise."""
    factor = sqrt(after.second / before.second) if before.second > _NOTHING else 1.0
    return tuple(kind.scaled(factor) for kind in kinds)


def dim_of_examples(x: Moments) -> int | None:
    """The dimension of ``pairs`` that tells examples apart, if a single one does."""
    atoms = [atom for axis in x.axes for atom in axis]
    dims = [dim for dim, atom in enumerate(atoms) if atom.role == "examples"]
    return dims[0] if len(dims) == 1 else None


def with_others(kinds: Sequence[Moments], alone: Array, others: Array) -> Kinds:
    """Like ``kinds``, with these E[x·x′] within an example of each kind, and of one of a kind and
    one of another."""
    size = np.sqrt(np.maximum(alone.reshape(len(kinds), -1)[:, 0], _NOTHING))
    found = []
    for kind, own, met, scale in zip(kinds, alone, others, size, strict=True):
        dim = dim_of_examples(kind)
        assert dim is not None
        told = met * (scale / size).reshape(-1, *(1,) * own.ndim)
        pairs = np.moveaxis(np.concatenate([own[None], told]), 0, dim)
        found.append(replace(kind, pairs=pairs))
    return tuple(found)


def told(kinds: Kinds) -> tuple[Array, Array]:
    """The inverse: of each kind by itself, and of each with each."""
    size = np.sqrt(np.maximum([kind.second for kind in kinds], _NOTHING))
    count, alone, others = len(kinds), [], []
    for kind, scale in zip(kinds, size, strict=True):
        dim = dim_of_examples(kind)
        assert dim is not None
        pairs = np.moveaxis(pairing.lengthened(told_apart(kind).pairs, dim, count + 1), dim, 0)
        alone.append(pairs[0])
        others.append(pairs[1:] * (size / scale).reshape(-1, *(1,) * pairs[0].ndim))
    return np.array(alone), np.array(others)


def _over_pairs(others: Array, axes: Axes) -> Array:
    """The mean over all pairs of two examples, most of them of two kinds."""
    count, each = len(others), examples_in(axes) / len(others)
    weights = np.full((count, count), each) - np.eye(count)
    return np.tensordot(weights / weights.sum(), others, axes=2)


def examples_in(axes: Axes) -> int:
    """How many examples a tensor of these axes has."""
    return prod(atom.size for axis in axes for atom in axis if atom.role == "examples")
