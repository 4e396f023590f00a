"""Scatter: how the mean square of a tensor of given Moments varies from draw to draw.

Units are independent, and of one unit Cov(x², x′²) = 2c² + 4m²c for normal x and x′ of mean m and
covariance c. The relative variance of the mean square is the mean of this over all pairs of
examples and positions, over n·q² for n units: few large positions, or positions that are all alike,
leave few independent squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import prod

import numpy as np

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra.layout import dims_of
from evenflow.graph.levels import Levels
from evenflow.graph.levels.levels import kernel_of, spread_out
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules import Step
from evenflow.graph.softmax.chance import units


def scatter(x: Moments, chance: float = 0.0, levels: Levels | None = None) -> float:
    """Relative variance of the mean square of a normal tensor.

    ``chance`` is the mean square correlation of two examples or positions beyond the average one.
    """
    if x.second <= 0 or x.variance <= 0:
        return 0.0
    c = told(x) - x.mean**2
    found = 2 * _by_chance(c, chance) + 4 * x.mean**2 * c
    return max(mean_pair(x, _unlike_norms(x, found), levels, chance) / x.second**2, 0.0)


def _by_chance(c: Array, chance: float) -> Array:
    """E[c²] where chance has moved the correlations of one draw."""
    square = c**2
    return square + chance * np.maximum(square.flat[0] - square, 0.0)


def _unlike_norms(x: Moments, found: Array) -> Array:
    """Examples of large norm count more, and so do their positions."""
    if not x.spread:
        return found
    dims = [atom for axis in x.axes for atom in axis]
    same = tuple(0 if atom.role == "examples" else slice(None) for atom in dims)
    found = found.copy()
    found[same] *= 1 + x.spread_examples
    found.flat[0] *= (1 + x.spread) / (1 + x.spread_examples)
    return found


def likely(
    x: Moments, chance: float, of: Callable[[Moments], Array], levels: Levels | None = None
) -> float:
    """Mean pair of what ``of`` makes of pairs that chance has moved, up as often as down."""
    if chance <= 0 or x.variance <= 0:
        return mean_pair(x, of(x), levels)
    pairs = told(x)
    covariance = pairs - x.mean**2
    step = np.sqrt(chance * np.maximum(x.variance**2 - covariance**2, 0.0))
    step.flat[0] = 0.0
    up, down = (replace(x, pairs=pairs + sign * step) for sign in (1, -1))
    return (mean_pair(up, of(up), levels) + mean_pair(down, of(down), levels)) / 2


def told(x: Moments) -> Array:
    """Pairs that tell the same index from another one along every direction."""
    return np.broadcast_to(x.pairs, [max(length, 2) for length in x.pairs.shape])


def mean_pair(
    x: Moments, pairs: Array, levels: Levels | None = None, chance: float | None = None
) -> float:
    """Mean of ``pairs`` over all pairs of examples and positions of one unit, over n units.

    Where ``levels`` say that indices are of unlike size, pairs count by the product of both.
    ``chance`` says that they are those of squares, which how alike two indices are then decides.
    """
    atoms = [atom for axis in x.axes for atom in axis]
    found, n = np.broadcast_to(pairs, x.pairs.shape) if pairs.size == 1 else pairs, 1.0
    along = _dim_of(x, levels)
    if levels is not None and along is not None and atoms[along].role == "units":
        n, along = n / float(np.mean(levels.values**2)), None
    elif levels is not None and along is not None:
        if chance is None or levels.kernel is None:
            found = _weighted(found, along, levels.values)
        else:
            found = _squared(x, along, levels, levels.kernel, chance)
    for dim in reversed(range(len(atoms))):
        if dim == along:
            found = np.take(found, 0, axis=dim)
        elif atoms[dim].role == "units":
            found, n = np.take(found, 0, axis=dim), n * atoms[dim].size
        else:
            found = pairing.total(found, dim, atoms[dim].size) / float(atoms[dim].size) ** 2
    return float(found) / n


def _dim_of(x: Moments, levels: Levels | None) -> int | None:
    """The direction that levels are along, where it is a single one."""
    axis = None if levels is None else levels.axis(x.shape)
    dims = [] if axis is None else dims_of(x, axis)
    return dims[0] if len(dims) == 1 else None


def _weighted(pairs: Array, dim: int, values: Array) -> Array:
    """Mean over all pairs of indices along ``dim``, kept at length 1."""
    shares = _products(tuple(values.tolist()), pairs.shape[dim])
    return np.expand_dims(np.tensordot(pairs, shares, axes=(dim, 0)), dim)


def _squared(x: Moments, dim: int, levels: Levels, kernel: Array, chance: float) -> Array:
    """2·E[c²] averaged over all pairs of indices along ``dim``, which are alike as ``kernel`` says;
    those of two examples are so by the share that these have in common."""
    size = levels.values.size
    average = pairing.average(told(x) - x.mean**2, dim, size)
    share = np.clip(average / max(average.flat[0], x.variance / size), 0.0, 1.0) ** 2
    share.flat[0] = 1.0
    square, most = float(np.mean(kernel**2)), float(np.mean(levels.values)) ** 2
    return np.asarray(2 * x.second**2 * (share * square + chance * (most - share * square)))


@lru_cache(maxsize=256)
def _products(values: tuple[float, ...], length: int) -> Array:
    """Mean over all pairs of indices of the product of their levels, by their distance."""
    v, size = np.array(values), len(values)
    near = [(1 if d == 0 else 2) * float(v[d:] @ v[: size - d]) for d in range(length - 1)]
    return np.array([*near, float(v.sum()) ** 2 - sum(near)]) / size**2


def mixed(before: Moments, after: Moments, chance: float, levels: Levels | None = None) -> float:
    """What a sum over positions adds: by chance those of one draw are more or less alike, so that
    their sum is larger or smaller. Chance that the sum does not meet changes nothing."""
    alike = units(after) * scatter(after, 0.0, levels) - units(before) * scatter(before)
    return chance * max(alike, 0.0)


def weighed(x: Moments, levels: Levels | None, chance: float, weights: Levels | None) -> float:
    """Scatter of a mean over positions of ``weights`` of their squares, each over its own mean."""
    kernel = None if weights is None else kernel_of(x, levels, weights, x.shape)
    if weights is None or kernel is None:
        return scatter(x, chance)
    size = np.maximum(np.diag(kernel), 1e-12)
    kernel = kernel / spread_out(size) * spread_out(np.maximum(weights.values, 0.0))
    return scatter(x, chance, weights.changed(weights.values, kernel))


def not_normal(step: Step, result: Moments, bias: Moments | None = None) -> float:
    """What the law of weights and biases adds to the scatter of the sums that they make, forwards
    or backwards: squares of uniform numbers scatter less than those of normal ones. A unit has one
    bias, and many weights, whose fourth cumulants are lost in their number."""
    weight = step.known.get(step.name("weight"))
    if weight is None or result.second <= 0 or not step.node.op.startswith(("linear", "conv")):
        return 0.0
    share = bias.variance / result.second if bias is not None else 0.0
    found = (bias.kurtosis - 3) * share**2 if bias is not None else 0.0
    terms = prod(weight.shape) / max(units(result), 1.0)
    found += (weight.kurtosis - 3) * max(1 - share, 0.0) ** 2 / max(terms, 1.0)
    return found / units(result)


def seen_alike(x: Moments, taps: tuple[int, ...] = (), groups: int = 1) -> float:
    """Mean square correlation, by chance, of what two outputs of a sum over weights read: the
    units of ``x``, in windows of ``taps`` along its last axes."""
    if x.second <= 0:
        return 0.0
    c = x.pairs - x.mean**2
    found = (c**2 + 2 * x.mean**2 * np.abs(c)) / x.second**2
    sizes = dict(zip(range(len(x.axes) - len(taps), len(x.axes)), taps, strict=True))
    for axis in reversed(range(len(x.axes))):
        dims = dims_of(x, axis)
        for dim, atom in reversed(list(zip(dims, x.axes[axis], strict=True))):
            size = sizes.get(axis, 1) if len(dims) == 1 else 1
            if atom.role == "units":
                size = max(atom.size // groups, 1) if axis not in sizes else size
            found = pairing.total(found, dim, size) / float(size) ** 2
    return min(float(found), 1.0)


def windows(taps: tuple[int, ...]) -> int:
    """Places that a window reads."""
    return max(prod(taps), 1)
