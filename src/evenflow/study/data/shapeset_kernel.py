"""Shapeset's generator, compiled.

An image has one or two objects, each a triangle, a parallelogram or an ellipse (a regular 20-gon),
light on dark or dark on light. An object starts as a regular polygon on a circle of radius ½ with a
horizontal base; it is turned by r1, stretched by s0 ≥ s1, turned until the base is horizontal once
more, turned by any angle, and shifted to where it fits with a margin of a pixel. The second has its
size and place drawn again while it may hide too much of the first; after 50 rejections it is left
out.

Random words: Philox at counter (index, stream) gives four. Stream 0 has the number of objects, the
polarity and the grey of the ground; stream 64·o, for object o = 1, 2, its kind, grey and two
angles; stream 64·o + t, t = 1, 2, …, the t-th try at its two scales and its place. All but the
estimate of occlusion is sums, products, quotients and square roots, which any machine rounds alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import Key
from evenflow.sampling.jit import compiled, inlined
from evenflow.sampling.kernels import philox

SIDE = 32
CORNERS = np.array([3, 4, 20])
"""Of a triangle, a parallelogram and an ellipse."""
STEPS = 255
"""Angles are multiples of 2π/255, and grey levels 255ths."""
LIGHTEST_DARK, DARKEST_LIGHT = 114, 140
SMALLEST, LARGEST = 0.2 * SIDE, 0.8 * SIDE
HIDDEN = 0.5
"""The share of the first object that the second may hide."""
PATIENCE = 50
LABELS = np.array([[0, 1, 2], [6, 3, 5], [3, 7, 4], [5, 4, 8]])
"""Row 0: by the kind of a single object; row 1 + kind of one object, column: kind of the other."""

# Rounded where the libraries that make sines begin to differ.
_ANGLES = [2 * math.pi * step / STEPS for step in range(STEPS)]
COS = np.array([round(math.cos(angle), 12) for angle in _ANGLES])
SIN = np.array([round(math.sin(angle), 12) for angle in _ANGLES])
REGULAR = np.zeros((3, 20, 2))
for _kind, _k in enumerate(CORNERS):
    for _t in range(_k):
        _angle = 2 * math.pi * (_t / _k + 1 / (2 * _k) + 1 / 4)
        REGULAR[_kind, _t] = round(0.5 * math.cos(_angle), 12), round(0.5 * math.sin(_angle), 12)
AREAS = np.array([k * math.sin(2 * math.pi / k) / (2 * math.pi) for k in CORNERS])
"""Of the regular polygon, as a share of its circle."""

_MASK = np.uint64(0xFFFFFFFF)


@compiled
def fill(
    images: NDArray[Any], labels: NDArray[np.int64], start: int, seed_key: Key, levels: NDArray[Any]
) -> int:
    """Make the examples start, start + 1, … in ``images`` (n, 1024) and ``labels`` (n,).

    ``levels`` (256,) gives each grey level as a pixel. Returns how often an object was rejected.
    """
    first, second, spans = np.empty((20, 2)), np.empty((20, 2)), np.empty((SIDE, 2), np.int64)
    rejections = 0
    for i in range(labels.size):
        labels[i], rejected = _draw(
            images[i], np.uint64(start + i), seed_key, levels, first, second, spans
        )
        rejections += rejected
    return rejections


@compiled
def _draw(
    image: NDArray[Any],
    index: np.uint64,
    seed_key: Key,
    levels: NDArray[Any],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    spans: NDArray[np.int64],
) -> tuple[int, int]:
    """Make one example and return its label and the rejections; the others are scratch."""
    number, polarity, ground, _ = _words(index, 0, seed_key)
    light = _below(polarity, 2) == 0  # the objects; the ground then is dark
    image[:] = levels[_grey(ground, not light)]

    kind, grey, r1, r3 = _object(index, 64, seed_key, light)
    s0, s1, x, y = _place(first, index, 65, seed_key, kind, r1, r3)
    _paint(image, first[: CORNERS[kind]], levels[grey], spans)
    if _below(number, 2) == 0:
        return LABELS[0, kind], 0

    area, x, y = s0 * s1 * AREAS[kind], float(int(x)), float(int(y))
    other, grey, r1, r3 = _object(index, 128, seed_key, light)
    for rejections in range(PATIENCE):
        s0, s1, u, v = _place(second, index, 129 + rejections, seed_key, other, r1, r3)
        hidden = (
            s0
            * s1
            * AREAS[other]
            * _overlap(first[: CORNERS[kind]], second[: CORNERS[other]], x, y, u, v)
        )
        if hidden <= HIDDEN * area:
            _paint(image, second[: CORNERS[other]], levels[grey], spans)
            return LABELS[1 + kind, other], rejections
    return LABELS[0, kind], PATIENCE


@inlined
def _words(
    index: np.uint64, stream: int, seed_key: Key
) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """Four random words, from 0 to 2³² − 1."""
    a, b, c, d = philox(index, stream, np.uint64(seed_key[0]), np.uint64(seed_key[1]))
    return np.int64(a & _MASK), np.int64(b & _MASK), np.int64(c & _MASK), np.int64(d & _MASK)


@inlined
def _below(word: np.int64, bound: int) -> np.int64:
    """A whole number from 0 to bound − 1."""
    return (word * bound) >> 32


@inlined
def _within(word: np.int64, low: float, high: float) -> float:
    """A number between ``low`` and ``high``."""
    return low + (high - low) * (word + 0.5) * 2.0**-32


@inlined
def _grey(word: np.int64, light: bool) -> np.int64:
    """A level from 140 to 255, or from 0 to 114."""
    if light:
        return DARKEST_LIGHT + _below(word, 256 - DARKEST_LIGHT)
    return _below(word, LIGHTEST_DARK + 1)


@compiled
def _object(
    index: np.uint64, stream: int, seed_key: Key, light: bool
) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """Kind, grey and two angles (steps) of an object.

    r1 is any step within ±π/k: the polygon is the same again after 2π/k.
    """
    a, b, c, d = _words(index, stream, seed_key)
    kind = _below(a, 3)
    most = STEPS // (2 * CORNERS[kind])
    r1 = _below(c, 2 * most + 1) - most
    return kind, _grey(b, light), r1, _below(d, STEPS)


@compiled
def _place(
    corners: NDArray[np.float64],
    index: np.uint64,
    stream: int,
    seed_key: Key,
    kind: np.int64,
    r1: np.int64,
    r3: np.int64,
) -> tuple[float, float, float, float]:
    """Scale, turn and shift a regular polygon; returns s0, s1 and the centre (pixels)."""
    a, b, c, d = _words(index, stream, seed_key)
    s0, s1 = _within(a, SMALLEST, LARGEST), _within(b, SMALLEST, LARGEST)
    s0, s1 = max(s0, s1), min(s0, s1)
    cos1, sin1 = COS[r1], SIN[r1]  # negative steps count from the end
    slope = s1 / s0 * (sin1 / cos1)
    cos2 = 1 / math.sqrt(1 + slope * slope)
    sin2 = -slope * cos2
    cos, sin = cos2 * COS[r3] - sin2 * SIN[r3], sin2 * COS[r3] + cos2 * SIN[r3]
    xx, xy = s0 * cos1 * cos - s1 * sin1 * sin, s0 * cos1 * sin + s1 * sin1 * cos
    yx, yy = -s0 * sin1 * cos - s1 * cos1 * sin, -s0 * sin1 * sin + s1 * cos1 * cos
    left = top = right = bottom = 0.0  # the centre lies inside
    for i in range(CORNERS[kind]):
        x, y = REGULAR[kind, i, 0], REGULAR[kind, i, 1]
        x, y = x * xx + y * yx, x * xy + y * yy
        corners[i, 0], corners[i, 1] = x, y
        left, right = min(left, x), max(right, x)
        top, bottom = min(top, y), max(bottom, y)
    u, v = _within(c, 1 - left, SIDE - 1 - right), _within(d, 1 - top, SIDE - 1 - bottom)
    for i in range(CORNERS[kind]):
        corners[i, 0] += u
        corners[i, 1] += v
    return s0, s1, u, v


@compiled
def _overlap(
    old: NDArray[np.float64], new: NDArray[np.float64], x: float, y: float, u: float, v: float
) -> float:
    """How much of the new object may lie over the old one, estimated along the line of centres.

    1 − 2^(−(p − d)/d) for centres d apart towards which the two reach p in all; 0 where p < d.
    """
    across, down = u - x, v - y
    distance = math.sqrt(across * across + down * down)
    reach_old = reach_new = -np.inf
    for i in range(len(old)):
        reach_old = max(reach_old, (old[i, 0] - x) * across + (old[i, 1] - y) * down)
    for i in range(len(new)):
        reach_new = max(reach_new, -((new[i, 0] - u) * across + (new[i, 1] - v) * down))
    if distance == 0:
        return 1.0
    beyond = (reach_old + reach_new) / distance - distance
    return 1 - math.exp(-beyond * math.log(2) / distance) if beyond >= 0 else 0.0


@compiled
def _paint(
    image: NDArray[Any], corners: NDArray[np.float64], grey: Any, spans: NDArray[np.int64]
) -> None:
    """Fill a polygon as the authors' library did, without anti-aliasing.

    Corners are cut to whole pixels. An edge crosses the rows from its upper end to above its lower
    one, and the lowest row of all; each row is filled between its crossings, both included.
    """
    lowest = 0
    for i in range(len(corners)):
        lowest = max(lowest, int(corners[i, 1]))
    for y in range(lowest + 1):
        spans[y, 0], spans[y, 1] = SIDE, -1
    for i in range(len(corners)):
        x0, y0 = int(corners[i - 1, 0]), int(corners[i - 1, 1])
        x1, y1 = int(corners[i, 0]), int(corners[i, 1])
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        for y in range(y0, y1 if y1 < lowest or y0 == y1 else y1 + 1):
            x = x0 + int((y - y0) * (x1 - x0) / (y1 - y0))
            spans[y, 0], spans[y, 1] = min(spans[y, 0], x), max(spans[y, 1], x)
    for y in range(lowest + 1):
        left, right = spans[y, 0], spans[y, 1]
        for x in range(SIDE):  # all of a row: a loop of random length costs more
            inside = left <= x and x <= right
            image[y * SIDE + x] = grey if inside else image[y * SIDE + x]
