"""The sampling contract as compiled kernels, equal to ``reference`` bit for bit.

A kernel works block by block in three passes over scratch that stays in the first-level cache:
words, integers, values. Passes apart are what lets the compiler vectorise each of them: the words
by holding 32-bit lanes in 64-bit ones, the quantile table by gathers from a constant.

Every kernel fills ``out`` (one axis, contiguous) with rows of ``columns`` neighbouring elements;
row r starts at element ``start + r · pitch`` of the full tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import GROUP, LANES, Dtype
from evenflow.sampling.jit import compiled, inlined
from evenflow.sampling.philox import MULTIPLIERS, ROUNDS, WEYL
from evenflow.sampling.quantile import CELL_BITS, FIRST_CELL, FRACTION_BITS, KNOTS, TAIL_BITS
from evenflow.sampling.reference import WIDE_BITS

COMPILED_FOR = 1
"""The contract's version. Numba keeps compiled code as long as the text of this file is the same,
whatever becomes of the constants that it takes from elsewhere; this number changes with them."""

BLOCK = 32 * GROUP
"""Elements a block: 16 KiB of words and as much of integers."""

# Numba widens mixed integers to floats: every constant has the type of what it meets.
_A, _B = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_WEYL_A, _WEYL_B = np.uint64(WEYL[0]), np.uint64(WEYL[1])
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FRACTION_BITS = np.uint32(FRACTION_BITS)
_FRACTION = np.uint32((1 << FRACTION_BITS) - 1)
_FIRST_CELL = np.uint32(FIRST_CELL)
_SIGN = np.int32(31)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_REBIAS = np.uint32((127 - 15) << 23)
_ONE_HALF = np.uint32(126 << 23)
_SMALLEST_NORMAL_HALF = np.uint32((127 - 14) << 23)
_SPARE = np.uint32(64 - WIDE_BITS)
_UPPER_UNIT = np.float64(1 << (WIDE_BITS - 31))
_EXTRA = np.uint64(WIDE_BITS - 32)
_WIDE_START = np.uint64(1 << (WIDE_BITS - 31))
_WIDE_FIRST_CELL = np.uint64((1023 + WIDE_BITS - 31) << CELL_BITS)
_WIDE_CELL_SHIFT = np.uint64(52 - CELL_BITS)
_WIDE_FRACTION = np.uint64((1 << (52 - CELL_BITS)) - 1)
_WIDE_UNIT = np.uint64(29)
_WIDE_FALL = np.uint64(52 - CELL_BITS - 29)
_TAIL_BITS = np.uint64(TAIL_BITS)
_TAIL = np.uint64((1 << TAIL_BITS) - 1)


@compiled
def fill_float32(
    out: NDArray[np.float32],
    start: int,
    columns: int,
    pitch: int,
    key: tuple[int, int],
    uniform: bool,
    low: int,
    scale: float,
) -> None:
    """Fill rows with float32 values."""
    words = np.empty(BLOCK + GROUP, np.uint32)
    floats = np.empty(BLOCK, np.float32)
    integers = np.empty(BLOCK, np.int32)
    for row in range(out.size // columns):
        first, at, end = start + row * pitch, row * columns, (row + 1) * columns
        while at < end:
            count = min(end - at, BLOCK - first % BLOCK)
            if uniform and first % GROUP == 0 and count % GROUP == 0:
                _uniform_groups(out[at : at + count], first, key, np.float32(scale))
            else:
                block = _words(words, first, count, key, 0)
                _integers(block, integers, floats, uniform, low)
                _scaled(integers[:count], np.float32(scale), out[at : at + count])
            first, at = first + count, at + count


@compiled
def fill_bfloat16(
    out: NDArray[np.uint16],
    start: int,
    columns: int,
    pitch: int,
    key: tuple[int, int],
    uniform: bool,
    low: int,
    scale: float,
) -> None:
    """Fill rows with the bits of bfloat16 values: float32, rounded to nearest even."""
    words = np.empty(BLOCK + GROUP, np.uint32)
    floats = np.empty(BLOCK, np.float32)
    integers = np.empty(BLOCK, np.int32)
    for row in range(out.size // columns):
        first, at, end = start + row * pitch, row * columns, (row + 1) * columns
        while at < end:
            count = min(end - at, BLOCK - first % BLOCK)
            block = _words(words, first, count, key, 0)
            _integers(block, integers, floats, uniform, low)
            _scaled(integers[:count], np.float32(scale), floats)
            _rounded(floats.view(np.uint32), out[at : at + count])
            first, at = first + count, at + count


@compiled
def fill_float16(
    out: NDArray[np.uint16],
    start: int,
    columns: int,
    pitch: int,
    key: tuple[int, int],
    uniform: bool,
    low: int,
    scale: float,
) -> None:
    """Fill rows with the bits of float16 values: float32, rounded to nearest even."""
    words = np.empty(BLOCK + GROUP, np.uint32)
    floats = np.empty(BLOCK, np.float32)
    integers = np.empty(BLOCK, np.int32)
    for row in range(out.size // columns):
        first, at, end = start + row * pitch, row * columns, (row + 1) * columns
        while at < end:
            count = min(end - at, BLOCK - first % BLOCK)
            block = _words(words, first, count, key, 0)
            _integers(block, integers, floats, uniform, low)
            _scaled(integers[:count], np.float32(scale), floats)
            _halved(floats, floats.view(np.uint32), out[at : at + count])
            first, at = first + count, at + count


@compiled
def fill_float64(
    out: NDArray[np.float64],
    start: int,
    columns: int,
    pitch: int,
    key: tuple[int, int],
    uniform: bool,
    low: int,
    scale: float,
) -> None:
    """Fill rows with float64 values, from two words each."""
    words = np.empty(BLOCK + GROUP, np.uint32)
    seconds = np.empty(BLOCK + GROUP, np.uint32)
    for row in range(out.size // columns):
        first, at, end = start + row * pitch, row * columns, (row + 1) * columns
        while at < end:
            count = min(end - at, BLOCK - first % BLOCK)
            if uniform and first % GROUP == 0 and count % GROUP == 0:
                _wide_uniform_groups(out[at : at + count], first, key, scale)
                first, at = first + count, at + count
                continue
            block = _words(words, first, count, key, 0)
            extra = _words(seconds, first, count, key, 1)
            for i in range(count):
                if uniform:
                    out[at + i] = _wide_odd(block[i], extra[i]) * scale
                else:
                    position = (np.uint64(block[i]) << _EXTRA) | (
                        np.uint64(extra[i]) >> (_HALF - _EXTRA)
                    )
                    out[at + i] = np.float64(_wide_normal(position, low)) * scale
            first, at = first + count, at + count


@compiled
def _words(
    scratch: NDArray[np.uint32], first: int, count: int, key: tuple[int, int], stream: int
) -> NDArray[np.uint32]:
    """Make the words of elements [first, first + count) in ``scratch`` and return that part."""
    group = first // GROUP
    key_a, key_b = np.uint64(key[0]), np.uint64(key[1])
    for g in range((first + count - 1) // GROUP + 1 - group):
        counter, at = np.uint64(group + g) * np.uint64(LANES), g * GROUP
        for lane in range(LANES):
            a, b, c, d = philox(counter + np.uint64(lane), stream, key_a, key_b)
            scratch[at + lane] = np.uint32(a)
            scratch[at + lane + LANES] = np.uint32(b)
            scratch[at + lane + 2 * LANES] = np.uint32(c)
            scratch[at + lane + 3 * LANES] = np.uint32(d)
    return scratch[first - group * GROUP : first - group * GROUP + count]


@inlined
def philox(
    counter: np.uint64, stream: int, key_a: np.uint64, key_b: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four words, each in the lower half of its 64 bits.

    32-bit words in 64-bit lanes: what a product leaves in the upper half is masked where it is next
    multiplied, so that vectors need no shuffling between widths.
    """
    a, b, c, d = counter, counter >> _HALF, np.uint64(stream), np.uint64(0)
    for r in range(ROUNDS):
        p, q = (a & _MASK) * _A, (c & _MASK) * _B
        a, b = (q >> _HALF) ^ b ^ (key_a + np.uint64(r) * _WEYL_A), q
        c, d = (p >> _HALF) ^ d ^ (key_b + np.uint64(r) * _WEYL_B), p
    return a, b, c, d


@compiled
def _uniform_groups(
    out: NDArray[np.float32], first: int, key: tuple[int, int], scale: np.float32
) -> None:
    """Fill whole groups without scratch: the stores overlap with the arithmetic."""
    group = first // GROUP
    key_a, key_b = np.uint64(key[0]), np.uint64(key[1])
    for g in range(out.size // GROUP):
        counter, at = np.uint64(group + g) * np.uint64(LANES), g * GROUP
        for lane in range(LANES):
            a, b, c, d = philox(counter + np.uint64(lane), 0, key_a, key_b)
            out[at + lane] = np.float32(_odd(np.uint32(a))) * scale
            out[at + lane + LANES] = np.float32(_odd(np.uint32(b))) * scale
            out[at + lane + 2 * LANES] = np.float32(_odd(np.uint32(c))) * scale
            out[at + lane + 3 * LANES] = np.float32(_odd(np.uint32(d))) * scale


@inlined
def _odd(word: np.uint32) -> np.int32:
    """Return the odd integer between −2²⁴ and 2²⁴ that a uniform value is made of."""
    return np.int32((word >> np.uint32(7)) | np.uint32(1)) - np.int32(1 << 24)


@compiled
def _integers(
    words: NDArray[np.uint32],
    integers: NDArray[np.int32],
    floats: NDArray[np.float32],
    uniform: bool,
    low: int,
) -> None:
    """Turn words into the contract's signed integers; ``floats`` is scratch."""
    if uniform:
        for i in range(words.size):
            integers[i] = _odd(words[i])
        return
    span = np.uint64((1 << 31) - low)
    for i in range(words.size):  # as far as the float32 that tells octave and cell of the table
        word = np.int32(words[i])
        tail = word ^ (word >> _SIGN)
        if low:
            within = (np.uint64(np.uint32(tail)) * span) >> _TAIL_BITS
            tail = np.int32(within) + np.int32(low)
        odd = tail | np.int32(1)
        floats[i] = np.float32(odd & np.int32(-128) if odd >= np.int32(1 << 24) else odd)
    _look_up(words, floats.view(np.uint32), integers)


@compiled
def _look_up(
    words: NDArray[np.uint32], bits: NDArray[np.uint32], integers: NDArray[np.int32]
) -> None:
    """Find each magnitude by the bits of its tail as a float32, and give it the word's sign."""
    for i in range(words.size):
        cell = (bits[i] >> _FRACTION_BITS) - _FIRST_CELL
        upper = KNOTS[cell]
        drop = np.uint32(upper - KNOTS[cell + np.uint32(1)])
        size = upper - np.int32((drop * (bits[i] & _FRACTION)) >> _FRACTION_BITS)
        sign = np.int32(words[i]) >> _SIGN  # all ones where the word lies in the upper half
        integers[i] = (size ^ ~sign) - ~sign


@compiled
def _scaled(integers: NDArray[np.int32], scale: np.float32, values: NDArray[np.float32]) -> None:
    for i in range(integers.size):
        values[i] = np.float32(integers[i]) * scale


@compiled
def _rounded(bits: NDArray[np.uint32], out: NDArray[np.uint16]) -> None:
    """Round float32 bits to bfloat16 bits, to nearest even."""
    for i in range(out.size):
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        out[i] = np.uint16((bits[i] + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@compiled
def _halved(values: NDArray[np.float32], bits: NDArray[np.uint32], out: NDArray[np.uint16]) -> None:
    """Round float32 values, of which ``bits`` are the bits, to float16 bits, to nearest even.

    Below 2⁻¹⁴ a float16 counts units of 2⁻²⁴, as a float32 between 1/2 and 1 does: adding 1/2
    rounds to them. No value lies beyond float16's range: recipes that could reach it are refused.
    """
    for i in range(out.size):
        size = bits[i] & _MAGNITUDE
        odd = (size >> np.uint32(13)) & np.uint32(1)
        normal = (size - _REBIAS + np.uint32(0xFFF) + odd) >> np.uint32(13)
        small = np.float32(abs(values[i]) + np.float32(0.5))
        half = small.view(np.uint32) - _ONE_HALF if size < _SMALLEST_NORMAL_HALF else normal
        out[i] = np.uint16(half | (bits[i] >> np.uint32(31)) << np.uint32(15))


@compiled
def _wide_uniform_groups(
    out: NDArray[np.float64], first: int, key: tuple[int, int], scale: float
) -> None:
    """Fill whole groups without scratch, as ``_uniform_groups``."""
    group = first // GROUP
    key_a, key_b = np.uint64(key[0]), np.uint64(key[1])
    for g in range(out.size // GROUP):
        counter, at = np.uint64(group + g) * np.uint64(LANES), g * GROUP
        for lane in range(LANES):
            a, b, c, d = philox(counter + np.uint64(lane), 0, key_a, key_b)
            e, f, h, i = philox(counter + np.uint64(lane), 1, key_a, key_b)
            out[at + lane] = _wide_odd(np.uint32(a), np.uint32(e)) * scale
            out[at + lane + LANES] = _wide_odd(np.uint32(b), np.uint32(f)) * scale
            out[at + lane + 2 * LANES] = _wide_odd(np.uint32(c), np.uint32(h)) * scale
            out[at + lane + 3 * LANES] = _wide_odd(np.uint32(d), np.uint32(i)) * scale


@inlined
def _wide_odd(word: np.uint32, extra: np.uint32) -> np.float64:
    """Return the odd integer 2P + 1 − 2⁵³ of a 53-bit position P, as the sum of two parts.

    Both parts and their sum are exact in float64, and processors convert 32 bits faster than 64.
    """
    upper = np.float64(np.int32(word ^ np.uint32(1 << 31))) * _UPPER_UNIT
    return upper + np.float64(np.int32((extra >> _SPARE) << np.uint32(1) | np.uint32(1)))


@compiled
def _wide_normal(position: np.uint64, low: int) -> np.int64:
    """Return the 53-bit normal integer of a 53-bit position, as ``reference.wide_integers``."""
    positive = position >= np.uint64(1 << 52)
    tail = np.uint64((1 << 53) - 1) - position if positive else position
    if low:
        span = np.uint64((1 << 31) - low)
        tail = (tail >> _TAIL_BITS) * span + (((tail & _TAIL) * span) >> _TAIL_BITS)
        tail += np.uint64(low) << _EXTRA
    odd = max(tail * np.uint64(2) + np.uint64(1), _WIDE_START)
    bits = np.float64(odd).view(np.uint64)
    cell = (bits >> _WIDE_CELL_SHIFT) - _WIDE_FIRST_CELL
    upper = np.uint64(KNOTS[cell])
    drop = upper - np.uint64(KNOTS[cell + np.uint64(1)])
    fallen = (drop * (bits & _WIDE_FRACTION)) >> _WIDE_FALL
    size = np.int64((upper << _WIDE_UNIT) - fallen)
    return size if positive else -size


class Kernel(NamedTuple):
    """A function that fills rows, and the array type that it fills."""

    fill: Callable[..., None]
    storage: np.dtype[Any]


KERNELS: dict[Dtype, Kernel] = {
    "float32": Kernel(fill_float32, np.dtype(np.float32)),
    "float16": Kernel(fill_float16, np.dtype(np.uint16)),
    "bfloat16": Kernel(fill_bfloat16, np.dtype(np.uint16)),
    "float64": Kernel(fill_float64, np.dtype(np.float64)),
}
