"""Convolutions: a sum over channels as in every linear operation, and over the taps that land.

Two output positions read, by the same tap, two input positions as far apart (times the stride), so
with independent weights E[x·x′] at each distance passes as it is, times channels × taps × v. Taps
that fall on padding sum nothing: what lands is counted, for one position and for pairs of them.
The gradient of the input, and a transposed convolution, count the same pairs the other way round.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.graph.algebra.contract import contracted
from evenflow.graph.algebra.layout import as_one_atom, dims_of, reshaped, summed, without_places
from evenflow.graph.algebra.resample import distances
from evenflow.graph.algebra.taps import Reads, sliding_reads
from evenflow.graph.moments import Array, Atom, Moments
from evenflow.graph.rules.registry import Cotangents, Step, law_with, register


def _conv(step: Step, transposed: bool) -> Moments:
    channels = "io" if transposed else "oi"
    reads, places = reads_of(step, transposed), _places(step.node.shape, step)
    x, weight = _grouped_input(step, step.of("input")), _grouped_weight(step)
    found = _passed(x, weight, channels, reads, places, scatter=transposed)
    whole = reshaped(found, step.node.shape)
    if not step.has("bias"):
        return whole
    bias = step.of("bias")
    return whole.plus(reshaped(bias, (*bias.shape, *(1,) * _spatial(step))))


def _conv_back(step: Step, cotangent: Moments, transposed: bool) -> Cotangents:
    channels = "oi" if transposed else "io"
    reads, places = reads_of(step, transposed), _places(step.shape("input"), step)
    arrived, weight = _grouped_input(step, cotangent), _grouped_weight(step)
    back = _passed(arrived, weight, channels, reads, places, scatter=not transposed)
    found = {
        step.name("input"): reshaped(back, step.shape("input")),
        step.name("weight"): _weight_gradient(step, arrived, reads, transposed),
    }
    if step.has("bias"):
        channel = len(cotangent.axes) - _spatial(step) - 1
        others = [axis for axis in range(len(cotangent.axes)) if axis != channel]
        found[step.name("bias")] = summed(cotangent, others, keep=False)
    return found


def _spatial(step: Step) -> int:
    return len(step.shape("weight")) - 2


def _places(shape: tuple[int, ...], step: Step) -> tuple[int, ...]:
    return shape[-_spatial(step) :]


def _grouped_input(step: Step, x: Moments) -> Moments:
    """(examples, groups, channels, places …)"""
    shape = x.shape if len(x.axes) == len(step.shape("weight")) else (1, *x.shape)
    groups = int(step.number("groups", 1))
    return reshaped(x, (shape[0], groups, shape[1] // groups, *shape[2:]))


def _grouped_weight(step: Step) -> Moments:
    """(groups, out, in, taps …), or (groups, in, out, taps …) for a transposed convolution."""
    first, second, *taps = step.shape("weight")
    groups = int(step.number("groups", 1))
    return reshaped(step.of("weight"), (groups, first // groups, second, *taps))


def reads_of(step: Step, transposed: bool) -> list[Reads]:
    """For each spatial axis, what the output reads of the input; or, of a transposed convolution,
    what the input would read of the output."""
    axes = _spatial(step)
    kernel = step.shape("weight")[2:]
    ends = step.node.shape[-axes:], step.shape("input")[-axes:]
    stride, dilation = step.numbers("stride", axes), step.numbers("dilation", axes)
    padding = _padding(step, kernel, dilation)
    return [
        sliding_reads(small, large, k, s, p, d)
        for small, large, k, s, p, d in zip(
            *(ends[::-1] if transposed else ends), kernel, stride, padding, dilation, strict=True
        )
    ]


def _padding(step: Step, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    given = step.node.arguments.get("padding")
    if given == "same":  # torch pads the smaller half in front
        return tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    if given == "valid":
        return (0,) * len(kernel)
    return step.numbers("padding", len(kernel), default=0)


def _passed(
    x: Moments,
    weight: Moments,
    channels: str,
    reads: list[Reads],
    sizes: tuple[int, ...],
    *,
    scatter: bool,
) -> Moments:
    """Moments (examples, groups, out, places …) of sums over what is read, or, with ``scatter``, of
    what the readers add to; ``channels`` names the weight's axes, i being those that are summed."""
    places, taps = "pqr"[: len(reads)], "tuv"[: len(reads)]
    found = contracted(x, weight, f"bgi{places}", f"g{channels}{taps}", f"bgo{places}{taps}")
    for axis, (read, size) in enumerate(zip(reads, sizes, strict=True)):
        found = _summed_taps(found, 3 + axis, 3 + len(reads), read, size, scatter=scatter)
    return found


def _summed_taps(
    x: Moments, place: int, tap: int, reads: Reads, size: int, *, scatter: bool
) -> Moments:
    """Sum over the taps of one axis; the axis ``place`` becomes that of the result."""
    x = as_one_atom(as_one_atom(x, place), tap)
    (by_place,), (by_tap,) = dims_of(x, place), dims_of(x, tap)
    cases = np.moveaxis(x.pairs, (by_place, by_tap), (-2, -1))
    matrix = reads.backwards if scatter else reads.forwards
    length = cases.shape[-2]
    kept = distances(length, size, x.shape[place])
    pairs = cases[..., 0] @ matrix(kept, length, same_tap=True).T
    if reads.taps > 1:
        pairs = pairs + cases[..., -1] @ matrix(kept, length, same_tap=False).T
    axes = [*x.axes[:place], (Atom(size, "positions"),), *x.axes[place + 1 :]]
    del axes[tap]
    mean = x.mean * reads.landing / size
    found = replace(x, mean=mean, pairs=np.moveaxis(pairs, -1, by_place), axes=tuple(axes))
    return found if size > 1 else without_places(_dropped(found, place, by_place), x)


def _dropped(x: Moments, axis: int, dim: int) -> Moments:
    """Without the atom of an axis of length 1."""
    axes = (*x.axes[:axis], (), *x.axes[axis + 1 :])
    return replace(x, pairs=np.take(x.pairs, 0, axis=dim), axes=axes)


def _weight_gradient(step: Step, arrived: Moments, reads: list[Reads], transposed: bool) -> Moments:
    """Sum over examples and places of what each tap reads, times what arrives there."""
    x = _grouped_input(step, step.of("input"))
    readers, read = (x, arrived) if transposed else (arrived, x)
    small, large = "pqr"[: len(reads)], "xyz"[: len(reads)]
    both = contracted(readers, read, f"bgo{small}", f"bgi{large}", f"goi{small}{large}")
    for axis in reversed(range(len(reads))):
        both = _met(both, 3 + axis, 3 + len(reads) + axis, reads[axis])
    return reshaped(both, step.shape("weight"))


def _met(both: Moments, small: int, large: int, reads: Reads) -> Moments:
    """Sum over the pairs of positions of one axis that each tap brings together; the axis ``small``
    becomes that of the taps, ``large`` goes."""
    both = as_one_atom(as_one_atom(both, small), large)
    (by_small,), (by_large,) = dims_of(both, small), dims_of(both, large)
    cases = np.moveaxis(both.pairs, (by_small, by_large), (-2, -1))
    found: list[Array] = []
    for same, pairs_of_taps in ((True, reads.taps), (False, reads.taps * (reads.taps - 1))):
        if pairs_of_taps:
            met = reads.meeting(cases.shape[-2], cases.shape[-1], same_tap=same)
            found.append(np.tensordot(cases, met, axes=2) / pairs_of_taps)
    taps = (Atom(reads.taps, "units"),) if reads.taps > 1 else ()
    axes = [*both.axes[:small], taps, *both.axes[small + 1 :]]
    del axes[large]
    pairs = np.stack(found, axis=by_small) if taps else found[0]
    mean = both.mean * reads.landing / reads.taps
    return replace(both, mean=mean, pairs=pairs, axes=tuple(axes))


def _register(transposed: bool) -> None:
    name = "conv_transpose" if transposed else "conv"
    register(
        *(f"{name}{axes}d" for axes in (1, 2, 3)),
        forward=lambda step: _conv(step, transposed),
        backward=lambda step, cotangent: _conv_back(step, cotangent, transposed),
        law=lambda step: law_with(step, "bias"),
    )


_register(transposed=False)
_register(transposed=True)
