"""Levels of convolutions, pools and pads: the rim of an image, where taps fall on padding.

With independent weights the second moment at a place is the sum of those that its taps read, so a
rim gets less than the inside, forwards and backwards, and more so layer after layer. Of several
axes (rows and columns) all places together have a level each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evenflow.graph.algebra.taps import Reads, sliding_reads
from evenflow.graph.levels.levels import Levels, together
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.convolution import reads_of
from evenflow.graph.rules.joining import padding_of
from evenflow.graph.rules.pooling import windows_of
from evenflow.graph.rules.registry import Arriving, Result, Step

_ALIKE = 0.01
"""Weights of two taps that have more than this in common do not sum independently."""


def _placed(levels: Levels | None, shape: Sequence[int], axes: int) -> Array | None:
    """Levels as an array over the last axes of a tensor; None where they are along others."""
    sizes = tuple(shape[-axes:])
    if levels is None:
        return np.ones(sizes)
    span = levels.span(shape)
    if span is None or span[0] < len(shape) - axes:
        return None
    own = [shape[axis] if axis in span else 1 for axis in range(len(shape) - axes, len(shape))]
    return np.broadcast_to(levels.values.reshape(own), sizes)


def _along_all(values: Array, reads: Sequence[Reads], *, scatter: bool) -> Array:
    """Sums over the taps of every axis."""
    for axis, each in enumerate(reads):
        matrix = each.matrix.T if scatter else each.matrix
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values


def _summed(levels: Array, reads: Sequence[Reads], *, scatter: bool) -> Levels | None:
    """Levels of sums, over what sums of levels that are all 1 are on average."""
    flat = float(_along_all(np.ones_like(levels), reads, scatter=scatter).mean())
    if flat <= 0:
        return None
    return Levels((_along_all(levels, reads, scatter=scatter) / flat).ravel(), 1)


def _independent(weight: Moments) -> bool:
    """Whether the weights of a filter's taps have nothing in common."""
    return weight.mean**2 <= _ALIKE * weight.second


def _convolved(use: Use, result: Result, *, transposed: bool) -> Levels | None:
    step, whole = use.step, one(result)
    reads = reads_of(step, transposed)
    known = _placed(use.of("input"), step.shape("input"), len(reads))
    if known is None or whole.second <= 0 or not _independent(step.of("weight")):
        return None
    found = _summed(known, reads, scatter=transposed)
    bias = step.of("bias").second / whole.second if step.has("bias") else 0.0
    return together([(1 - bias, found, whole), (bias, None, None)], step.node.shape)


def _convolved_back(use: Use, levels: Found, *, transposed: bool) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    step = use.step
    reads = reads_of(step, transposed)
    arrived = _placed(levels, step.node.shape, len(reads))
    if arrived is None or not _independent(step.of("weight")):
        return {}
    found = {step.name("input"): _summed(arrived, reads, scatter=not transposed)}
    read = _placed(use.of("input"), step.shape("input"), len(reads))
    if read is not None:  # each tap of the weight gathers products of what meets there
        small, large = (read, arrived) if transposed else (arrived, read)
        taken = _along_all(large, reads, scatter=False)
        flat = _along_all(np.ones_like(large), reads, scatter=False)
        factor = float((small * taken).sum() / max(flat.sum(), 1e-300))
        found[step.name("weight")] = Levels.of_factor(factor)
    return found


def _register(transposed: bool) -> None:
    name = "conv_transpose" if transposed else "conv"
    register(
        *(f"{name}{axes}d" for axes in (1, 2, 3)),
        forward=lambda use, result: _convolved(use, result, transposed=transposed),
        backward=lambda use, _, levels: _convolved_back(use, levels, transposed=transposed),
        makes=True,
    )


_register(transposed=False)
_register(transposed=True)


def _pooled(use: Use, _result: Result) -> Levels | None:
    windows = windows_of(use.step)
    known = _placed(use.of("input"), use.step.shape("input"), len(windows))
    if known is None or use.of("input") is None:
        return None
    sums = _along_all(known, windows, scatter=False)
    held = _along_all(np.ones_like(known), windows, scatter=False)
    return Levels((sums / np.maximum(held, 1e-300)).ravel(), 1)


def _pooled_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    windows = windows_of(use.step)
    arrived = _placed(levels, use.step.node.shape, len(windows))
    if arrived is None:
        return {}
    return {use.step.name("input"): _summed(arrived, windows, scatter=True)}


def _padded_reads(step: Step) -> list[Reads] | None:
    """What each place reads of what was there, of all axes from the first padded one on; None where
    something else than positions is padded, or with something else than zeros."""
    padded = dict(padding_of(step))
    shape, x = step.shape("input"), step.of("input")
    atoms = [atom for axis in padded for atom in x.axes[axis]]
    if not padded or any(atom.role != "positions" for atom in atoms) or step.number("value"):
        return None
    axes = range(min(padded), len(shape))
    return [padded.get(a) or sliding_reads(shape[a], shape[a], 1, 1, 0, 1) for a in axes]


def _padded(use: Use, _result: Result) -> Levels | None:
    reads = _padded_reads(use.step)
    known = None if reads is None else _placed(use.of("input"), use.step.shape("input"), len(reads))
    return None if reads is None or known is None else _summed(known, reads, scatter=False)


def _padded_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    reads = _padded_reads(use.step)
    arrived = None if reads is None else _placed(levels, use.step.node.shape, len(reads))
    if reads is None or arrived is None:
        return {}
    return {use.step.name("input"): _summed(arrived, reads, scatter=True)}


register("pad", "constant_pad_nd", forward=_padded, backward=_padded_back, makes=True)


_POOLS = tuple(
    f"{kind}{pool}_pool{axes}d"
    for kind in ("", "adaptive_")
    for pool in ("avg", "max")
    for axes in (1, 2, 3)
)
register(
    *_POOLS,
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    forward=_pooled,
    backward=_pooled_back,
    makes=True,
)
