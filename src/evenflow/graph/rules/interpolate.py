"""Interpolation: each output is a fixed weighted sum of the positions around it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evenflow.graph.algebra.resample import resampled
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.registry import Cotangents, Step, register

_KINDS = {
    "nearest": ("nearest1d", "nearest2d", "nearest3d"),
    "nearest-exact": ("nearest_exact1d", "nearest_exact2d", "nearest_exact3d"),
    "linear": ("linear1d", "bilinear2d", "trilinear3d"),
    "cubic": ("bicubic2d",),
}
_SHARPNESS = -0.75
"""The free parameter of cubic convolution (Keys 1981), as torch chooses it."""


@lru_cache(maxsize=1024)
def interpolating_reads(small: int, large: int, kind: str, aligned: bool) -> Reads:
    """What ``small`` positions read of ``large`` ones; ``aligned`` puts the corners on corners."""
    place, scale = np.arange(small), large / small
    if kind == "nearest":
        return Reads(np.floor(place * scale).astype(np.int64)[:, None], large)
    middle = (place + 0.5) * scale
    if kind == "nearest-exact":
        return Reads(np.floor(middle).astype(np.int64)[:, None], large)
    at = place * ((large - 1) / max(small - 1, 1)) if aligned else middle - 0.5
    if kind == "linear":
        at = np.maximum(at, 0.0)
    first = np.floor(at).astype(np.int64)
    reach = np.array([0, 1]) if kind == "linear" else np.array([-1, 0, 1, 2])
    distance = np.abs(at[:, None] - (first[:, None] + reach))
    weight = np.maximum(1 - distance, 0.0) if kind == "linear" else _cubic(distance)
    return Reads(np.clip(first[:, None] + reach, 0, large - 1), large, weight)


def _cubic(distance: Array) -> Array:
    a, d = _SHARPNESS, distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _interpolated(step: Step, x: Moments, kind: str, *, scatter: bool = False) -> Moments:
    ends = zip(step.node.shape[2:], step.shape("input")[2:], strict=True)
    for axis, (small, large) in enumerate(ends, 2):
        reads = interpolating_reads(small, large, kind, bool(step.number("align_corners")))
        x = resampled(x, axis, reads, scatter=scatter)
    return x


def _register(kind: str, operations: tuple[str, ...]) -> None:
    def backward(step: Step, cotangent: Moments) -> Cotangents:
        return {step.name("input"): _interpolated(step, cotangent, kind, scatter=True)}

    prefix = "_upsample" if kind == "nearest-exact" else "upsample"
    register(
        *(f"{prefix}_{operation}" for operation in operations),
        forward=lambda step: _interpolated(step, step.of("input"), kind),
        backward=backward,
    )


for _kind, _operations in _KINDS.items():
    _register(_kind, _operations)
