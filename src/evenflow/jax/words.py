"""Element numbers and Philox words of the sampling contract, in JAX's 32-bit integers.

JAX has no 64-bit integers unless told so, hence a 64-bit number stands as two words. Every element
makes its own words from its own number, so that a compiler may cut a tensor in any way, one part a
device, and no part needs another.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from evenflow.sampling.contract import GROUP, LANES
from evenflow.sampling.philox import MULTIPLIERS, ROUNDS, WEYL

Words = jax.Array
"""uint32 of any shape."""
U32 = jnp.uint32
_MASK = 0xFFFFFFFF


class Wide(NamedTuple):
    """A number of 64 bits in two words."""

    low: Words
    high: Words


def element_numbers(extent: tuple[int, ...], pitches: tuple[int, ...], offset: int) -> Wide:
    """Return offset + Σ jₐ·pitchₐ for each element (j₀, j₁, …) of an array of ``extent``."""
    last = offset + sum((n - 1) * pitch for n, pitch in zip(extent, pitches, strict=True))
    low = jnp.full(extent, offset & _MASK, U32)
    high = jnp.full(extent, offset >> 32, U32)
    for axis, pitch in enumerate(pitches):
        j = lax.broadcasted_iota(U32, extent, axis)
        step = j * U32(pitch & _MASK)
        if last >> 32:  # most tensors need no second word
            carry = (low + step < low).astype(U32)
            high += high_product(j, pitch & _MASK) + j * U32(pitch >> 32) + carry
        low += step
    return Wide(low, high)


def words_at(number: Wide, key: Words, stream: int = 0) -> Words:
    """Return the word of each element: word (i // 32) % 4 of counter 32·(i // 128) + i % 32."""
    lane, group = U32(LANES - 1), U32(_MASK ^ (LANES - 1))
    quarter = (number.low >> U32(2)) | (number.high << U32(30))  # GROUP / LANES = 4
    counter = (quarter & group) | (number.low & lane)
    zero = jnp.zeros_like(counter)
    a, b, c, d = philox((counter, number.high >> U32(2), zero + U32(stream), zero), key)
    which = number.low & U32(GROUP - LANES)  # 0, 32, 64 or 96
    first, second = jnp.where(which & U32(LANES), b, a), jnp.where(which & U32(LANES), d, c)
    return jnp.where(which & U32(2 * LANES), second, first)


def philox(counter: tuple[Words, Words, Words, Words], key: Words) -> tuple[Words, ...]:
    """Return the four words that Philox4x32-10 makes of ``counter`` under the two words of key."""
    a, b, c, d = counter
    k0, k1 = key[0], key[1]
    for r in range(ROUNDS):
        p_high, p_low = high_product(a, MULTIPLIERS[0]), a * U32(MULTIPLIERS[0])
        q_high, q_low = high_product(c, MULTIPLIERS[1]), c * U32(MULTIPLIERS[1])
        a, b = q_high ^ b ^ (k0 + U32(r * WEYL[0] & _MASK)), q_low
        c, d = p_high ^ d ^ (k1 + U32(r * WEYL[1] & _MASK)), p_low
    return a, b, c, d


def high_product(word: Words, factor: int | Words) -> Words:
    """Return the upper 32 bits of word · factor, from products of 16-bit halves.

    JAX's own ``lax.mulhi`` is new, and XLA cannot yet partition it over devices.
    """
    factor, half, lower = jnp.asarray(factor, U32), U32(16), U32(0xFFFF)
    a, b, c, d = word >> half, word & lower, factor >> half, factor & lower
    middle = a * d + (b * d >> half)
    other = b * c + (middle & lower)
    product: Words = a * c + (middle >> half) + (other >> half)
    return product
