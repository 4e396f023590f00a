"""Philox4x32-10, the counter-based generator: a counter and a key to four random words.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Ten rounds
of two 32 × 32 → 64-bit multiplications each; it passes BigCrush, and any counter may be asked for
in any order. This is the plain NumPy form, which the compiled kernels must agree with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import GROUP, LANES, Key

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = NDArray[np.uint64]
"""Random words of 32 bits, held in 64 so that products fit."""
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def words_at(index: Words, key: Key, stream: int = 0) -> NDArray[np.uint32]:
    """Return the 32-bit word of each element ``index``, in the contract's order.

    Element i has word (i // 32) % 4 of counter n = 32·(i // 128) + i % 32, which Philox is given
    as (n mod 2³², n // 2³², stream, 0). Stream 1 holds the second words that float64 needs.
    """
    counter = (index // np.uint64(GROUP)) * np.uint64(LANES) + index % np.uint64(LANES)
    nothing = np.zeros_like(counter)
    four = philox(counter & _MASK, counter >> _HALF, nothing + np.uint64(stream), nothing, key)
    which = (index // np.uint64(LANES)) % np.uint64(4)
    return np.choose(which.astype(np.intp), four).astype(np.uint32)


def philox(a: Words, b: Words, c: Words, d: Words, key: Key) -> tuple[Words, Words, Words, Words]:
    """Return the four words that Philox4x32-10 makes of the counters (a, b, c, d)."""
    k0, k1 = key
    for _ in range(ROUNDS):
        p, q = a * np.uint64(MULTIPLIERS[0]), c * np.uint64(MULTIPLIERS[1])
        a, b = (q >> _HALF) ^ b ^ np.uint64(k0), q & _MASK
        c, d = (p >> _HALF) ^ d ^ np.uint64(k1), p & _MASK
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return a, b, c, d
