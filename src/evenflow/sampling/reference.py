"""The sampling contract in plain NumPy: slow, short, and what every other kernel must equal.

Words become integers by integer arithmetic alone; an integer becomes a value by one exact
conversion, one multiplication and, for 16-bit types, one rounding to nearest even. Nothing here
can be contracted, reassociated or approximated by a compiler, so bits agree between machines.

A word is a position on the line of probability: a larger word never gives a smaller value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import STORAGE, Dtype, Key, Recipe, bfloat16_bits
from evenflow.sampling.philox import Words, words_at
from evenflow.sampling.quantile import CELL_BITS, KNOTS, TAIL_BITS, magnitude

WIDE_BITS = 53
"""float64 takes 32 bits of the first word and the top 21 of the second."""
_EXTRA = WIDE_BITS - 32


def values(index: Words, recipe: Recipe, key: Key, dtype: Dtype) -> NDArray[np.generic]:
    """Return the elements ``index`` of a tensor, as ``dtype`` (bfloat16 as its bits in uint16)."""
    first = words_at(index, key)
    if dtype == "float64":
        second = words_at(index, key, stream=1)
        position = (first.astype(np.uint64) << np.uint64(_EXTRA)) | (
            second >> np.uint32(32 - _EXTRA)
        )
        return wide_integers(position, recipe).astype(np.float64) * recipe.scale
    single = integers(first, recipe).astype(np.float32) * np.float32(recipe.scale)
    return bfloat16_bits(single) if dtype == "bfloat16" else single.astype(STORAGE[dtype])


def integers(word: NDArray[np.uint32], recipe: Recipe) -> NDArray[np.int32]:
    """Return the signed integer, of 24 bits at most, that each word makes.

    Uniform: odd, from −2²⁴ + 1 to 2²⁴ − 1. Normal: ± the magnitude of the word's distance from
    the nearer end, in units of 2⁻²¹ σ; truncated: that distance mapped onto [low, 2³¹) first.
    """
    if recipe.uniform:
        return ((word >> np.uint32(7)) | np.uint32(1)).astype(np.int32) - np.int32(1 << 24)
    positive = word >= np.uint32(1 << TAIL_BITS)
    tail = np.where(positive, ~word, word)
    if recipe.low:
        span = np.uint64((1 << TAIL_BITS) - recipe.low)
        within = (tail.astype(np.uint64) * span) >> np.uint64(TAIL_BITS)
        tail = within.astype(np.uint32) + np.uint32(recipe.low)
    size = magnitude(tail)
    return np.where(positive, size, -size)


def wide_integers(position: Words, recipe: Recipe) -> NDArray[np.int64]:
    """Return the signed integer, of 53 bits at most, that each 53-bit position makes.

    As ``integers``, with 21 more bits below: uniform is odd from −2⁵³ + 1 to 2⁵³ − 1, normal counts
    units of 2⁻⁵⁰ σ and interpolates between the same knots. The two dtypes so agree to about the
    resolution of float32.
    """
    if recipe.uniform:
        return (position * np.uint64(2) + np.uint64(1)).astype(np.int64) - np.int64(1 << WIDE_BITS)
    positive = position >= np.uint64(1 << (WIDE_BITS - 1))
    tail = np.where(positive, np.uint64((1 << WIDE_BITS) - 1) - position, position)
    if recipe.low:
        span = np.uint64((1 << TAIL_BITS) - recipe.low)
        upper, lower = tail >> np.uint64(TAIL_BITS), tail & np.uint64((1 << TAIL_BITS) - 1)
        tail = upper * span + ((lower * span) >> np.uint64(TAIL_BITS))
        tail += np.uint64(recipe.low << _EXTRA)
    size = wide_magnitude(tail)
    return np.where(positive, size, -size)


def wide_magnitude(tail: Words) -> NDArray[np.int64]:
    """Return |z| in units of 2⁻⁵⁰ σ for each tail of 52 bits, on the knots of ``magnitude``."""
    first = np.uint64(1 << (_EXTRA + 1))  # where the table starts: tail 1 of 31 bits
    odd = np.maximum(tail * np.uint64(2) + np.uint64(1), first)
    bits = odd.astype(np.float64).view(np.uint64)  # exact: 53 bits
    shift = 52 - CELL_BITS
    cell = (bits >> np.uint64(shift)).astype(np.int64) - ((1023 + _EXTRA + 1) << CELL_BITS)
    fraction = bits & np.uint64((1 << shift) - 1)
    upper = KNOTS[cell].astype(np.int64)
    drop = (upper - KNOTS[cell + 1]).astype(np.uint64)
    fallen = (drop * fraction) >> np.uint64(shift - 29)
    size: NDArray[np.int64] = (upper << np.int64(29)) - fallen.astype(np.int64)
    return size
