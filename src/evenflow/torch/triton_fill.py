"""Fill tensors on a GPU: the sampling contract as a Triton kernel, equal to the others bit for bit.

Triton's own Philox makes the words; what follows is ``evenflow.sampling.reference``, line by line.
Where a compiler might contract, nothing is added after the one multiplication.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from evenflow.planning.distributions import (
    Constant,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling.arguments import Shape, parts_of
from evenflow.sampling.contract import (
    GROUP,
    LANES,
    Dtype,
    Key,
    Recipe,
    canonical_name,
    key,
    recipe,
)
from evenflow.sampling.elements import Pitches, pitches_of, rows_of
from evenflow.sampling.quantile import CELL_BITS, FIRST_CELL, FRACTION_BITS, KNOTS, TAIL_BITS
from evenflow.sampling.reference import WIDE_BITS
from evenflow.sampling.write import boxes

_IN_ORDER = torch.contiguous_format
BLOCK_GROUPS = 16
"""Groups of 128 elements that one program makes, at most."""

_LANES = tl.constexpr(LANES)
_GROUP = tl.constexpr(GROUP)
_FRACTION_BITS = tl.constexpr(FRACTION_BITS)
_FRACTION = tl.constexpr((1 << FRACTION_BITS) - 1)
_FIRST_CELL = tl.constexpr(FIRST_CELL)
_TAIL_BITS = tl.constexpr(TAIL_BITS)
_TAIL = tl.constexpr((1 << TAIL_BITS) - 1)
_TAILS = tl.constexpr(1 << TAIL_BITS)
_EXTRA = tl.constexpr(WIDE_BITS - 32)
_EXTRA_SHIFT = tl.constexpr(64 - WIDE_BITS)
_WIDE_SIGN = tl.constexpr(WIDE_BITS - 1)
_WIDE_LAST = tl.constexpr((1 << WIDE_BITS) - 1)
_WIDE_CENTRE = tl.constexpr(1 << WIDE_BITS)
_WIDE_START = tl.constexpr(1 << (WIDE_BITS - 31))
_WIDE_SHIFT = tl.constexpr(52 - CELL_BITS)
_WIDE_UNIT = tl.constexpr(29)
_WIDE_FALL = tl.constexpr(52 - CELL_BITS - 29)
_WIDE_FRACTION = tl.constexpr((1 << (52 - CELL_BITS)) - 1)
_WIDE_FIRST_CELL = tl.constexpr((1023 + WIDE_BITS - 31) << CELL_BITS)


def fill(
    out: torch.Tensor,
    distribution: Distribution,
    *,
    seed: int,
    name: str,
    shape: Shape,
    start: Shape,
) -> None:
    """Write the box at ``start`` of parameter ``name`` under ``seed`` into ``out``.

    As ``evenflow.sampling.fill``, with the same errors, for a tensor of float32, float64, float16
    or bfloat16 on a GPU and a distribution of independent elements: no orthogonal matrices.
    """
    name = canonical_name(name)
    dtype: Dtype = str(out.dtype).removeprefix("torch.")  # type: ignore[assignment]
    if not shape:  # a single number is a vector of one
        out, shape, start = out.view(1), (1,), (0,)
    parts = parts_of(distribution, shape, name, dtype)
    if not out.numel():
        return
    for part, where, _, offset in boxes(parts, shape, start, tuple(out.shape)):
        if isinstance(part.distribution, Uniform | Normal | TruncatedNormal):
            how = recipe(part.distribution, dtype, name)
            at = pitches_of(shape)
            write_elements(out[where], how, key(seed, name), offset=offset, pitches=at)
        elif isinstance(part.distribution, Constant):
            value = torch.tensor(part.distribution.value, dtype=torch.float64)
            out[where].copy_((value if dtype == "float64" else value.float()).to(out.dtype))


def write_elements(
    out: torch.Tensor, recipe: Recipe, key: Key, *, offset: int, pitches: Pitches
) -> None:
    """Write the elements that ``offset`` and ``pitches`` choose into ``out``, strided or not.

    As ``evenflow.sampling.elements.write_elements`` does for arrays; the element at (j₀, j₁, …) of
    ``out`` is element offset + Σ jₐ·pitchₐ of the full tensor. ``out`` is float32, float64, float16
    or bfloat16, on a device that Triton has code for.
    """
    values = (
        out if out.is_contiguous() else torch.empty(out.shape, dtype=out.dtype, device=out.device)
    )
    flat = values.view(-1)
    if flat.dtype == torch.bfloat16:
        flat = flat.view(torch.int16)  # rounded as integers, which no device does in its own way
    for part, start, columns, pitch in rows_of(flat, tuple(out.shape), offset, pitches):
        _launch(part, start, columns, pitch, recipe, key)
    if values is not out:
        out.copy_(values)


def _launch(
    part: torch.Tensor, start: int, columns: int, pitch: int, recipe: Recipe, key: Key
) -> None:
    across = triton.cdiv(columns, GROUP) + 1  # a row may begin within a group
    groups = min(triton.next_power_of_2(across), BLOCK_GROUPS)
    blocks = triton.cdiv(across, groups)
    grid = (part.numel() // columns * blocks,)
    (scale,) = struct.unpack("<q", struct.pack("<d", recipe.scale))
    _fill[grid](
        part,
        _knots(part.device),
        blocks,
        start,
        columns,
        pitch,
        key.low | key.high << 32,
        recipe.low,
        scale,
        uniform=recipe.uniform,
        truncated=recipe.low > 0,
        groups=groups,
        enable_fp_fusion=False,
    )


def _kernel(function: Callable[..., Any]) -> Any:
    """Triton's compiler, whose decorator has no types."""
    return triton.jit(function)


@cache
def _knots(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(KNOTS.copy()).to(device)


@_kernel
def _fill(
    out: tl.tensor,
    knots: tl.tensor,
    blocks: tl.int64,
    start: tl.int64,
    columns: tl.int64,
    pitch: tl.int64,
    key: tl.uint64,
    low: tl.int64,
    scale: tl.int64,
    uniform: tl.constexpr,
    truncated: tl.constexpr,
    groups: tl.constexpr,
) -> None:
    """Fill one of the ``blocks`` of a row: ``columns`` elements from start + row · pitch on.

    ``scale`` is the bits of a float64: a float argument would be rounded to float32.
    """
    program = tl.program_id(0).to(tl.int64)
    row, block = program // blocks, program % blocks
    first = start + row * pitch
    group = first // _GROUP + block * groups + tl.arange(0, groups)[:, None]
    lane = tl.arange(0, _LANES)[None, :]
    counter = group.to(tl.uint64) * _LANES + lane.to(tl.uint64)
    place = group * _GROUP + lane - first
    key = key.to(tl.uint64)
    low = low.to(tl.uint64)
    factor = scale.to(tl.int64).to(tl.float64, bitcast=True)
    here = out + row * columns
    words = _words(counter, key, 0)
    if out.dtype.element_ty == tl.float64:
        extra = _words(counter, key, 1)
        for word in tl.static_range(4):
            at = place + word * _LANES
            value = _wide(words[word], extra[word], knots, low, uniform, truncated) * factor
            tl.store(here + at, value, mask=(at >= 0) & (at < columns))
    else:
        for word in tl.static_range(4):
            at = place + word * _LANES
            integer = _integer(words[word], knots, low, uniform, truncated)
            value = integer.to(tl.float32) * factor.to(tl.float32)
            tl.store(
                here + at, _rounded(value, out.dtype.element_ty), mask=(at >= 0) & (at < columns)
            )


@_kernel
def _words(counter: tl.tensor, key: tl.tensor, stream: tl.constexpr) -> tl.tuple:
    """Four words of each counter."""
    c0, c1 = counter.to(tl.uint32), (counter >> 32).to(tl.uint32)
    zero = tl.zeros_like(c0)
    return tl.philox(key, c0, c1, zero + stream, zero)


@_kernel
def _rounded(value: tl.tensor, dtype: tl.constexpr) -> tl.tensor:
    """The float32 value in the dtype of the target, to nearest even; int16 stands for bfloat16."""
    if dtype == tl.int16:
        bits = value.to(tl.uint32, bitcast=True)
        nearest = bits + 0x7FFF + ((bits >> 16) & 1)
        return (nearest >> 16).to(tl.uint16).to(tl.int16, bitcast=True)
    return value.to(dtype)


@_kernel
def _integer(
    word: tl.tensor,
    knots: tl.tensor,
    low: tl.tensor,
    uniform: tl.constexpr,
    truncated: tl.constexpr,
) -> tl.tensor:
    """The signed integer, of 24 bits at most, that a word makes."""
    if uniform:
        return ((word >> 7) | 1).to(tl.int32) - (1 << 24)
    positive = word >> 31 != 0
    tail = tl.where(positive, ~word, word)
    if truncated:
        within = (tail.to(tl.uint64) * (_TAILS - low)) >> _TAIL_BITS
        tail = (within + low).to(tl.uint32)
    odd = tail | 1
    significant = tl.where(odd >= (1 << 24), odd & 0xFFFFFF80, odd)
    bits = significant.to(tl.float32).to(tl.uint32, bitcast=True)
    cell = (bits >> _FRACTION_BITS).to(tl.int32) - _FIRST_CELL
    upper = tl.load(knots + cell)
    drop = (upper - tl.load(knots + cell + 1)).to(tl.uint32)
    size = upper - ((drop * (bits & _FRACTION)) >> _FRACTION_BITS).to(tl.int32)
    return tl.where(positive, size, -size)


@_kernel
def _wide(
    word: tl.tensor,
    extra: tl.tensor,
    knots: tl.tensor,
    low: tl.tensor,
    uniform: tl.constexpr,
    truncated: tl.constexpr,
) -> tl.tensor:
    """The signed integer, of 53 bits at most, that two words make, as a float64."""
    position = (word.to(tl.uint64) << _EXTRA) | (extra.to(tl.uint64) >> _EXTRA_SHIFT)
    if uniform:
        return ((position * 2 + 1).to(tl.int64) - _WIDE_CENTRE).to(tl.float64)
    positive = position >> _WIDE_SIGN != 0
    tail = tl.where(positive, _WIDE_LAST - position, position)
    if truncated:
        span = _TAILS - low
        tail = (tail >> _TAIL_BITS) * span + (((tail & _TAIL) * span) >> _TAIL_BITS)
        tail += low << _EXTRA
    odd = tl.maximum(tail * 2 + 1, _WIDE_START)
    bits = odd.to(tl.int64).to(tl.float64).to(tl.uint64, bitcast=True)
    cell = (bits >> _WIDE_SHIFT).to(tl.int32) - _WIDE_FIRST_CELL
    upper = tl.load(knots + cell).to(tl.int64)
    drop = (upper - tl.load(knots + cell + 1).to(tl.int64)).to(tl.uint64)
    fallen = (drop * (bits & _WIDE_FRACTION)) >> _WIDE_FALL
    size = (upper << _WIDE_UNIT) - fallen.to(tl.int64)
    return tl.where(positive, size, -size).to(tl.float64)
