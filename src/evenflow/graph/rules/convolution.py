"""Convolutions: a sum over channels as in every linear operation, and over the taps that land.

Two output positions read, by the same tap, two input positions as far apart (times the stride), so
with independent weights E[x·x′] at each distance passes as it is, times channels × taps × v. Taps
that fall on padding sum nothing: what lands is counted, for one position and for pairs of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.graph import pairs as pairing
from evenflow.graph.contract import contracted
from evenflow.graph.layout import dims_of, reshaped, sliced, summed
from evenflow.graph.moments import Atom, Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import Reads, convolution_reads, transposed_reads


def _conv(step: Step, transposed: bool) -> Moments:
    weight = _grouped_weight(step, step.of("weight"), transposed)
    x = _grouped_input(step, step.of("input"))
    places = step.node.shape[-_spatial(step) :]
    found = _passed(x, weight, "io" if transposed else "oi", _reads(step, transposed), places)
    whole = reshaped(found, step.node.shape)
    if not step.has("bias"):
        return whole
    bias = step.of("bias")
    channels = reshaped(bias, (*bias.shape, *(1,) * _spatial(step)))
    return whole.plus(channels)


def _conv_back(step: Step, cotangent: Moments, transposed: bool) -> Cotangents:
    weight = _grouped_weight(step, step.of("weight"), transposed)
    arrived = _grouped_input(step, cotangent)
    reads = _reads(step, transposed, backward=True)
    places = step.shape("input")[-_spatial(step) :]
    back = _passed(arrived, weight, "oi" if transposed else "io", reads, places)
    channel = len(cotangent.axes) - _spatial(step) - 1
    others = [axis for axis in range(len(cotangent.axes)) if axis != channel]
    bias = summed(cotangent, others, keep=False)
    return {
        step.name("input"): reshaped(back, step.shape("input")),
        step.name("weight"): _weight_gradient(step, cotangent, transposed),
        **({step.name("bias"): bias} if step.has("bias") else {}),
    }


def _spatial(step: Step) -> int:
    return len(step.shape("weight")) - 2


def _grouped_input(step: Step, x: Moments) -> Moments:
    """(examples, groups, channels, places …)"""
    shape = x.shape if len(x.axes) == len(step.shape("weight")) else (1, *x.shape)
    groups = int(step.number("groups", 1))
    return reshaped(x, (shape[0], groups, shape[1] // groups, *shape[2:]))


def _grouped_weight(step: Step, w: Moments, transposed: bool) -> Moments:
    """(groups, out, in, taps …), or (groups, in, out, taps …) for a transposed convolution."""
    first, second, *taps = w.shape
    groups = int(step.number("groups", 1))
    return reshaped(w, (groups, first // groups, second, *taps))


def _reads(step: Step, transposed: bool, *, backward: bool = False) -> list[Reads]:
    """For each spatial axis, what each position of the result reads; or of the gradient."""
    axes = _spatial(step)
    kernel = step.shape("weight")[2:]
    ends = step.shape("input")[-axes:], step.node.shape[-axes:]
    stride, dilation = step.numbers("stride", axes), step.numbers("dilation", axes)
    padding = _padding(step, kernel, dilation)
    reads = transposed_reads if transposed != backward else convolution_reads
    lengths = zip(*(ends[::-1] if backward else ends), strict=True)
    return [
        reads(a, b, k, s, p, d)
        for (a, b), k, s, p, d in zip(lengths, kernel, stride, padding, dilation, strict=True)
    ]


def _padding(step: Step, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    given = step.node.arguments.get("padding")
    if given == "same":  # torch pads the smaller half in front
        return tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    if given == "valid":
        return (0,) * len(kernel)
    return step.numbers("padding", len(kernel), default=0)


def _passed(
    x: Moments, weight: Moments, channels: str, reads: list[Reads], sizes: tuple[int, ...]
) -> Moments:
    """Moments (examples, groups, out, places …) of what ``reads`` gather; ``channels`` names the
    weight's axes, i being those that are summed."""
    places, taps = "pqr"[: len(reads)], "tuv"[: len(reads)]
    found = contracted(x, weight, f"bgi{places}", f"g{channels}{taps}", f"bgo{places}{taps}")
    for axis, (read, size) in enumerate(zip(reads, sizes, strict=True)):
        found = _read(found, 3 + axis, 3 + len(reads), read, size)
    return found


def _read(x: Moments, place: int, tap: int, reads: Reads, size: int) -> Moments:
    """Sum over the taps of one axis; the axis ``place`` becomes that of the result."""
    x = _one_atom(_one_atom(x, place), tap)
    (by_place,), (by_tap,) = dims_of(x, place), dims_of(x, tap)
    cases = np.moveaxis(x.pairs, (by_place, by_tap), (-2, -1))
    length = cases.shape[-2]
    kept = 1 if size == 1 else max(length, 2)
    pairs = sum(
        np.einsum("dl,...l->...d", reads.meeting(length, kept, same_tap=same), cases[..., entry])
        for same, entry in ((True, 0), (False, -1))
    )
    axes = [*x.axes[:place], (Atom(size, "positions"),), *x.axes[place + 1 :]]
    del axes[tap]
    found = replace(
        x, mean=reads.terms * x.mean, pairs=np.moveaxis(pairs, -1, by_place), axes=tuple(axes)
    )
    return found if size > 1 else _dropped(found, place, by_place)


def _one_atom(x: Moments, axis: int) -> Moments:
    """With exactly one atom on an axis, if need be of size 1."""
    atoms, before = x.axes[axis], sum(len(each) for each in x.axes[:axis])
    if len(atoms) == 1:
        return x
    if atoms:
        pairs = pairing.joined(x.pairs, before, [atom.size for atom in atoms])
        atom = Atom(x.shape[axis], atoms[0].role)
    else:
        pairs, atom = np.expand_dims(x.pairs, before), Atom(1, "positions")
    return replace(x, pairs=pairs, axes=(*x.axes[:axis], (atom,), *x.axes[axis + 1 :]))


def _dropped(x: Moments, axis: int, dim: int) -> Moments:
    """Without the atom of an axis of length 1."""
    axes = (*x.axes[:axis], (), *x.axes[axis + 1 :])
    return replace(x, pairs=np.take(x.pairs, 0, axis=dim), axes=axes)


def _weight_gradient(step: Step, cotangent: Moments, transposed: bool) -> Moments:
    """Sum over examples and places of what each tap reads, times what arrives there."""
    x, arrived = step.of("input"), cotangent
    small, large = (x, arrived) if transposed else (arrived, x)
    axes = _spatial(step)
    reads = _reads(step, transposed=False) if not transposed else _reads(step, True, backward=True)
    both = contracted(
        small, _strided(large, small, axes), "bo" + "pqr"[:axes], "bi" + "pqr"[:axes], "oi"
    )
    landed = 1.0
    for read in reads:
        landed *= read.terms / read.source.shape[1]
    shape = step.shape("weight")
    second = both.second * landed
    return Moments.independent(0.0, second, shape)


def _strided(x: Moments, like: Moments, axes: int) -> Moments:
    """``x`` at as many places as ``like`` has."""
    found = x
    for axis in range(len(x.axes) - axes, len(x.axes)):
        found = sliced(found, axis, like.shape[axis], max(x.shape[axis] // like.shape[axis], 1))
    return found


def _register(transposed: bool) -> None:
    name = "conv_transpose" if transposed else "conv"
    register(
        *(f"{name}{axes}d" for axes in (1, 2, 3)),
        forward=lambda step: _conv(step, transposed),
        backward=lambda step, cotangent: _conv_back(step, cotangent, transposed),
    )


_register(transposed=False)
_register(transposed=True)
