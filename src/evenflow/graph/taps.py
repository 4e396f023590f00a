"""Which input positions a convolution or a pooling reads, and how often pairs of them meet."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evenflow.graph.moments import Array

_MOST = 256
"""Longer axes are told by this many positions: borders matter little to them."""


@lru_cache(maxsize=4096)
def landing_taps(
    length_in: int, length_out: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[int, ...]:
    """For each output position along one axis, the taps whose input position is inside the tensor.

    Output o reads input o·stride − padding + tap·dilation. For a transposed convolution exchange
    ``length_in`` and ``length_out``: its input positions scatter where a convolution's read.
    """
    return tuple(
        sum(0 <= o * stride - padding + tap * dilation < length_in for tap in range(kernel))
        for o in range(length_out)
    )


class Reads:
    """Along one axis: which input position each output position reads by each tap, −1 for none."""

    def __init__(self, source: npt.NDArray[np.int_]) -> None:
        self.source = source

    @property
    def terms(self) -> float:
        """Mean number of taps that land on an input position."""
        return float((self.source >= 0).sum(axis=1).mean())

    def meeting(self, length: int, kept: int, *, same_tap: bool) -> Array:
        """Matrix (kept, length): mean number of pairs of taps, by the distance of the outputs
        (rows) and of the inputs that they read (columns); the last of each stands for all beyond.

        ``same_tap`` counts pairs of the same tap, else pairs of different ones.
        """
        return _meeting(self.source.tobytes(), self.source.shape, length, kept, same_tap)


@lru_cache(maxsize=1024)
def _meeting(data: bytes, shape: tuple[int, int], length: int, kept: int, same_tap: bool) -> Array:
    source = np.frombuffer(data, dtype=np.int64).reshape(shape)
    count, taps = shape
    apart = np.minimum(np.abs(np.subtract.outer(np.arange(count), np.arange(count))), kept - 1)
    found = np.zeros((kept, length))
    for a in range(taps):
        for b in range(taps):
            if (a == b) != same_tap:
                continue
            left, right = source[:, a], source[:, b]
            both = (left[:, None] >= 0) & (right >= 0)
            distance = np.minimum(np.abs(left[:, None] - right), length - 1)
            np.add.at(found, (apart[both], distance[both]), 1.0)
    pairs = np.bincount(apart.ravel(), minlength=kept)
    return np.asarray(found / np.maximum(pairs, 1)[:, None])


@lru_cache(maxsize=4096)
def convolution_reads(
    length_in: int, length_out: int, kernel: int, stride: int, padding: int, dilation: int
) -> Reads:
    """Output o reads input o·stride − padding + tap·dilation."""
    count = min(length_out, _MOST)
    source = np.arange(count)[:, None] * stride - padding + np.arange(kernel) * dilation
    last = length_in if count == length_out else count * stride
    return Reads(np.where((source >= 0) & (source < last), source, -1))


@lru_cache(maxsize=4096)
def transposed_reads(
    length_in: int, length_out: int, kernel: int, stride: int, padding: int, dilation: int
) -> Reads:
    """Output o reads input i by the tap for which o = i·stride − padding + tap·dilation."""
    count = min(length_out, _MOST)
    ahead = np.arange(count)[:, None] + padding - np.arange(kernel) * dilation
    source, off = np.divmod(ahead, stride)
    last = length_in if count == length_out else -(-count // stride)
    return Reads(np.where((off == 0) & (source >= 0) & (source < last), source, -1))
