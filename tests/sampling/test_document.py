"""The contract once more, in Python's integers, written from docs/sampling.md alone.

Whoever brings the contract to another language reads that page; this test keeps it true.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling import sample
from evenflow.sampling.quantile import KNOTS

K = KNOTS.tolist()
SEED, NAME = 12345, "h.0.attn.weight"
START, STOP = 2**34 - 700, 2**34 + 300


def word(index: int, stream: int) -> int:
    digest = hashlib.blake2b(
        SEED.to_bytes(8, "little") + NAME.encode(), digest_size=8, person=b"evenflow-sample1"
    ).digest()
    key0, key1 = struct.unpack("<2I", digest)
    n = 32 * (index // 128) + index % 32
    a, b, c, d = n % 2**32, n // 2**32, stream, 0
    for _ in range(10):
        low0, low1 = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (
            (low1 >> 32) ^ b ^ key0,
            low1 % 2**32,
            (low0 >> 32) ^ d ^ key1,
            low0 % 2**32,
        )
        key0, key1 = (key0 + 0x9E3779B9) % 2**32, (key1 + 0xBB67AE85) % 2**32
    return (a, b, c, d)[index // 32 % 4]


def magnitude(t: int) -> int:
    x = t | 1
    if x >= 2**24:
        x &= 0xFFFFFF80
    (b,) = struct.unpack("<I", struct.pack("<f", x))
    c = (b >> 16) - (127 << 7)
    return K[c] - (((K[c] - K[c + 1]) * (b & 0xFFFF)) >> 16)


def normal(w: int, low: int) -> int:
    t = w if w < 2**31 else ~w % 2**32
    if low:
        t = low + ((t * (2**31 - low)) >> 31)
    return -magnitude(t) if w < 2**31 else magnitude(t)


def wide_normal(p: int, low: int) -> int:
    t = p if p < 2**52 else 2**53 - 1 - p
    if low:
        s = 2**31 - low
        t = (low << 21) + (t >> 31) * s + (((t % 2**31) * s) >> 31)
    (b,) = struct.unpack("<Q", struct.pack("<d", max(2 * t + 1, 2**22)))
    c = (b >> 45) - (1045 << 7)
    m = (K[c] << 29) - (((K[c] - K[c + 1]) * (b % 2**45)) >> 16)
    return -m if p < 2**52 else m


def lowest_tail(cut: float) -> int:
    return next(t for t in range(1, 2**31, 2) if magnitude(t) <= int(cut * 2**21))


CUT = 4.5  # few tails lie beyond it, so that they can be tried one by one
TRUNCATED = TruncatedNormal(0.02, CUT)
PARENT = 0.02 * round(TruncatedNormal(1.0, CUT).parent_std, 9)


@pytest.mark.parametrize(
    ("law", "size"), [(Uniform(0.1), 0.1), (Normal(0.02), 0.02), (TRUNCATED, PARENT)], ids=str
)
def test_the_page_describes_what_is_sampled(
    law: Uniform | Normal | TruncatedNormal, size: float
) -> None:
    window = (START, STOP)
    words = [word(i, 0) for i in range(*window)]
    positions = [(w << 21) | (word(i, 1) >> 11) for i, w in zip(range(*window), words, strict=True)]
    if isinstance(law, Uniform):
        narrow = [((w >> 7) | 1) - 2**24 for w in words]
        wide = [2 * p + 1 - 2**53 for p in positions]
        units = 2.0**-24, 2.0**-53
    else:
        low = lowest_tail(CUT) if isinstance(law, TruncatedNormal) else 0
        narrow = [normal(w, low) for w in words]
        wide = [wide_normal(p, low) for p in positions]
        units = 2.0**-21, 2.0**-50
    single = np.array(narrow, np.float32) * np.float32(size * units[0])
    double = np.array(wide, np.float64) * (size * units[1])
    full = (2**35,)
    assert (sample(law, full, seed=SEED, name=NAME, window=window) == single).all()
    made = sample(law, full, seed=SEED, name=NAME, dtype="float64", window=window)
    assert (made == double).all()
