"""From words to values in JAX: integers by integer arithmetic, then one exact conversion, one
multiplication, one rounding, in which no compiler finds anything to contract.

Line by line what ``evenflow.sampling.reference`` does, in whose tests it is compared.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from evenflow.jax.words import U32, Wide, Words, high_product, words_at
from evenflow.sampling.contract import Dtype
from evenflow.sampling.quantile import CELL_BITS, FIRST_CELL, FRACTION_BITS, KNOTS, TAIL_BITS
from evenflow.sampling.reference import WIDE_BITS

_EXTRA = WIDE_BITS - 32
_SIGN = U32(1 << TAIL_BITS)


def values(
    number: Wide, key: Words, *, uniform: bool, low: Words | None, scale: jax.Array, dtype: Dtype
) -> jax.Array:
    """Return the elements ``number`` of a tensor.

    ``low`` is the smallest tail that a truncated normal lets through, None for others; ``scale``
    has the type that the multiplication is done in: float64 for float64, else float32.
    """
    first = words_at(number, key)
    if dtype == "float64":
        second = words_at(number, key, stream=1)
        position = (first.astype(jnp.uint64) << _EXTRA) | (second >> (32 - _EXTRA))
        integers = _wide_uniform(position) if uniform else _wide_normal(position, low)
    else:
        integers = _uniform(first) if uniform else _normal(first, low)
    made: jax.Array = (integers.astype(scale.dtype) * scale).astype(dtype)
    return made


def _uniform(word: Words) -> jax.Array:
    odd: jax.Array = ((word >> U32(7)) | U32(1)).astype(jnp.int32) - jnp.int32(1 << 24)
    return odd


def _normal(word: Words, low: Words | None) -> jax.Array:
    positive = word >= _SIGN
    tail = jnp.where(positive, ~word, word)
    if low is not None:  # the tail has 31 bits: doubled, the upper word is the product over 2³¹
        tail = high_product(tail << U32(1), _SIGN - low) + low
    odd = tail | U32(1)
    significant = jnp.where(odd >= U32(1 << 24), odd & U32(0xFFFFFF80), odd)  # 24 bits at most
    bits = lax.bitcast_convert_type(significant.astype(jnp.float32), U32)
    upper, next_one = _knots((bits >> U32(FRACTION_BITS)).astype(jnp.int32) - FIRST_CELL)
    drop = (upper - next_one).astype(U32)
    fallen = (drop * (bits & U32((1 << FRACTION_BITS) - 1))) >> U32(FRACTION_BITS)
    size = upper - fallen.astype(jnp.int32)
    return jnp.where(positive, size, -size)


def _knots(cell: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The knots at both ends of a cell, which always lies within the table."""
    table = jnp.asarray(KNOTS)
    return (
        table.at[cell].get(mode="promise_in_bounds"),
        table.at[cell + 1].get(mode="promise_in_bounds"),
    )


def _wide_uniform(position: jax.Array) -> jax.Array:
    return (2 * position + 1).astype(jnp.int64) - (1 << WIDE_BITS)


def _wide_normal(position: jax.Array, low: Words | None) -> jax.Array:
    positive = position >= (1 << (WIDE_BITS - 1))
    tail = jnp.where(positive, (1 << WIDE_BITS) - 1 - position, position)
    if low is not None:
        least = low.astype(jnp.uint64)
        span = (1 << TAIL_BITS) - least
        upper, lower = tail >> TAIL_BITS, tail & ((1 << TAIL_BITS) - 1)
        tail = upper * span + (lower * span >> TAIL_BITS) + (least << _EXTRA)
    odd = jnp.maximum(2 * tail + 1, 1 << (_EXTRA + 1))
    bits = lax.bitcast_convert_type(odd.astype(jnp.float64), jnp.uint64)
    shift = 52 - CELL_BITS
    cell = (bits >> shift).astype(jnp.int32) - ((1023 + _EXTRA + 1) << CELL_BITS)
    upper_knot, next_one = (knot.astype(jnp.int64) for knot in _knots(cell))
    drop = (upper_knot - next_one).astype(jnp.uint64)
    fallen = (drop * (bits & ((1 << shift) - 1))) >> (shift - 29)
    size = (upper_knot << 29) - fallen.astype(jnp.int64)
    return jnp.where(positive, size, -size)
