"""What fixes every value: names, keys, the order of words, and the scale of each distribution.

Element i of parameter ``name`` under ``seed`` is a pure function of (seed, name, i, distribution,
dtype), on any device, in any order and by any number of workers. A change of anything here changes
the weights that a seed stands for, and must raise ``VERSION``. The whole contract, with what an
implementation elsewhere has to do, stands in docs/sampling.md.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling.quantile import TAIL_BITS, UNIT_BITS, magnitude

VERSION = 1
"""Of the contract. Golden values in the tests hold it fast."""

LANES = 32
"""Counters in a group. Word j of a group's counters makes 32 neighbouring elements."""
GROUP = 4 * LANES
"""Elements of a group: counter 32·(i // 128) + i % 32, word (i // 32) % 4, makes element i."""

Dtype = Literal["float32", "float64", "float16", "bfloat16"]
STORAGE: dict[Dtype, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
}
"""The NumPy type that holds each dtype; NumPy has no bfloat16, so its bits stand as uint16."""
LARGEST: dict[Dtype, float] = {
    "float32": float(np.finfo(np.float32).max),
    "float64": float(np.finfo(np.float64).max),
    "float16": 65504.0,
    "bfloat16": 2.0**127 * (2 - 2.0**-7),
}

NARROWEST_CUT = 2.0**-6
"""Of a truncated normal, in σ₀: 2¹⁵ steps of the quantile table."""

_WRAPPERS = frozenset(
    {
        "module",  # DataParallel, DistributedDataParallel, DeepSpeed, AveragedModel
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module",  # FullyShardedDataParallel
        "_checkpoint_wrapped_module",  # activation checkpointing
        "base_layer",  # an adapter around a layer: the layer's own weight
        "original_module",  # PEFT's modules_to_save: the layer's own weight
    }
)
_ADAPTER_PREFIX = re.compile(r"^base_model\.model\.")
_PARAMETRIZED = re.compile(r"\bparametrizations\.([^.]+)\.original$")


class Key(NamedTuple):
    """The two 32-bit words of a Philox key."""

    low: int
    high: int


class Recipe(NamedTuple):
    """How the words of an element become its value: an integer, then one multiplication.

    ``uniform`` picks the integer: uniform and odd, or normal by the quantile table. ``low`` is the
    smallest tail that is let through (0: all), and ``scale`` the number to multiply with.
    """

    uniform: bool
    low: int
    scale: float


def canonical_name(name: str) -> str:
    """Return the name that a parameter has in the bare model, without what wraps it.

    Taken off, as whole components of the path: ``module`` (DataParallel and its kin),
    ``_orig_mod`` (torch.compile), ``_fsdp_wrapped_module``, ``_checkpoint_wrapped_module``,
    ``base_layer`` and ``original_module`` (adapters), the prefix ``base_model.model`` (PEFT), and
    ``parametrizations.weight.original`` reads ``weight``. The last component always stays.
    """
    name = _PARAMETRIZED.sub(r"\1", name)
    parts = name.split(".")
    name = ".".join([*(part for part in parts[:-1] if part not in _WRAPPERS), parts[-1]])
    return _ADAPTER_PREFIX.sub("", name)


def key(seed: int, name: str) -> Key:
    """Return the Philox key of a parameter: BLAKE2b of its seed and canonical name.

    The hash of the seed's eight bytes (little-endian) and the name in UTF-8, eight bytes long,
    personalised ``evenflow-sample1``; its halves, little-endian, are the words of the key.

    Raises:
        InputError: the seed is no integer of 64 bits at or above 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InputError(
            f"the seed must be a whole number from 0 to 2**64 - 1, not {seed!r}", where=name
        )
    message = int(seed).to_bytes(8, "little") + canonical_name(name).encode()
    digest = hashlib.blake2b(message, digest_size=8, person=b"evenflow-sample1").digest()
    return Key(int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))


def recipe(distribution: Uniform | Normal | TruncatedNormal, dtype: Dtype, where: str) -> Recipe:
    """Return how elements of ``distribution`` are made in ``dtype``; ``where`` names the tensor.

    float16 and bfloat16 round the float32 value once more, to nearest even. Scales are rounded to
    float32 here, and exact powers of two apart from that:

    =============== ================= ==================
    scale of        float32, 16 bits  float64
    =============== ================= ==================
    uniform         bound · 2⁻²⁴      bound · 2⁻⁵³
    normal          std · 2⁻²¹        std · 2⁻⁵⁰
    truncated       σ₀ · 2⁻²¹         σ₀ · 2⁻⁵⁰
    =============== ================= ==================

    Raises:
        InputError: a value could be infinite or subnormal, or the cut is too narrow.
    """
    wide = dtype == "float64"
    unit = -UNIT_BITS - 29 if wide else -UNIT_BITS
    low, reach = 0, float(magnitude(np.zeros(1, np.uint32))[0]) * 2.0**-UNIT_BITS
    if isinstance(distribution, Uniform):
        size, reach = distribution.bound, 1.0
        unit = -53 if wide else -24
    elif isinstance(distribution, Normal):
        size = distribution.std
    else:
        if distribution.cut < NARROWEST_CUT:
            raise InputError(
                f"a cut at {distribution.cut:g} standard deviations is too narrow",
                where=where,
                remedy="use a uniform distribution, which is the same thing there",
            )
        size, low = _parent_std(distribution), _lowest_tail(distribution.cut)
        reach = min(reach, distribution.cut)
    scale = math.ldexp(size, unit) if wide else float(_float32(math.ldexp(size, unit)))
    smallest = np.finfo(np.float64 if wide else np.float32).tiny
    if scale < smallest or size * reach > LARGEST[dtype]:
        raise InputError(
            f"{distribution} does not fit into {dtype}: its values would "
            + ("be lost below the smallest normal number" if scale < smallest else "overflow"),
            where=where,
            remedy="use a scale nearer to 1 or a wider dtype",
        )
    return Recipe(isinstance(distribution, Uniform), low, scale)


def cast(values: NDArray[np.float64], dtype: Dtype) -> NDArray[np.generic]:
    """Round float64 values to ``dtype``: to float32, then the 16-bit types from there."""
    if dtype == "float64":
        return values
    single = values.astype(np.float32)
    if dtype == "bfloat16":
        return bfloat16_bits(single)
    return single.astype(STORAGE[dtype])


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite float32 values to bfloat16, to nearest even, and return the bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


def _float32(value: float) -> np.float32:
    with np.errstate(over="ignore", under="ignore"):  # the caller refuses both, with a remedy
        return np.float32(value)


def _parent_std(distribution: TruncatedNormal) -> float:
    """σ₀; its ratio to std is cut to nine decimals, which hides what erf and exp differ in."""
    return distribution.std * round(TruncatedNormal(1.0, distribution.cut).parent_std, 9)


@lru_cache(maxsize=256)
def _lowest_tail(cut: float) -> int:
    """The smallest odd tail whose magnitude is at most ``cut`` · σ₀."""
    limit = math.floor(min(cut, 8.0) * 2**UNIT_BITS)
    below, above = 0, (1 << (TAIL_BITS - 1)) - 1  # half the tail: it is 2·half + 1 that is sought
    while below < above:
        half = (below + above) // 2
        if magnitude(np.array([2 * half + 1], np.uint32))[0] <= limit:
            above = half
        else:
            below = half + 1
    return 2 * below + 1
