"""Shapeset's generator in plain Python, from its specification: slow, shares only the words."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from evenflow.sampling.contract import key
from evenflow.sampling.philox import philox

CORNERS = {"triangle": 3, "parallelogram": 4, "ellipse": 20}
KINDS = tuple(CORNERS)
PAIRS = {
    ("triangle",): 0,
    ("parallelogram",): 1,
    ("ellipse",): 2,
    ("parallelogram", "triangle"): 3,
    ("ellipse", "parallelogram"): 4,
    ("ellipse", "triangle"): 5,
    ("triangle", "triangle"): 6,
    ("parallelogram", "parallelogram"): 7,
    ("ellipse", "ellipse"): 8,
}


class Placed(NamedTuple):
    """An object in the image: its corners (k, 2), centre and two scales, in pixels."""

    kind: str
    grey: int
    corners: np.ndarray
    centre: np.ndarray
    scales: tuple[float, float]


class Example(NamedTuple):
    levels: np.ndarray
    label: int
    objects: list[Placed]
    rejections: int


def example(seed: int, index: int) -> Example:
    """Example ``index``: levels (32, 32) from 0 to 255."""
    number, polarity, ground, _ = words(seed, index, 0)
    light, two = polarity < 2**31, number >= 2**31  # light objects; two of them
    levels = np.full((32, 32), grey(ground, not light))
    objects: list[Placed] = []
    rejections = 0
    for o in (1, 2) if two else (1,):
        a, b, c, d = words(seed, index, 64 * o)
        kind = KINDS[a * 3 >> 32]
        steps = [s for s in range(-255, 256) if abs(s) / 255 * 2 <= 1 / CORNERS[kind]]
        r1, r3 = steps[c * len(steps) >> 32], d * 255 >> 32
        for attempt in range(1, 51):
            placed = place(
                kind,
                grey(b, light),
                r1 * 2 * math.pi / 255,
                r3 * 2 * math.pi / 255,
                [(word + 0.5) / 2**32 for word in words(seed, index, 64 * o + attempt)],
            )
            if not (objects and hides(placed, objects[0])):
                paint(levels, placed)
                objects.append(placed)
                break
            rejections += 1
    label = PAIRS[tuple(sorted((o.kind for o in objects), key=sorted(KINDS).index))]
    return Example(levels, label, objects, rejections)


def words(seed: int, index: int, stream: int) -> tuple[int, int, int, int]:
    counter = (index % 2**32, index // 2**32, stream, 0)
    found = philox(*(np.array([c], np.uint64) for c in counter), key(seed, "shapeset"))
    a, b, c, d = (int(word[0]) % 2**32 for word in found)
    return a, b, c, d


def grey(word: int, light: bool) -> int:
    levels = range(140, 256) if light else range(115)
    return levels[word * len(levels) >> 32]


def turn(angle: float) -> np.ndarray:
    """Of row vectors, to the right: x towards y."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def place(kind: str, level: int, r1: float, r3: float, at: list[float]) -> Placed:
    k = CORNERS[kind]
    angles = [math.pi / 2 + math.pi / k + 2 * math.pi * t / k for t in range(k)]
    regular = 0.5 * np.array([[math.cos(a), math.sin(a)] for a in angles])
    s1, s0 = sorted(32 * (0.2 + 0.6 * u) for u in at[:2])
    level_base = turn(-math.atan(s1 / s0 * math.tan(r1)))
    corners = regular @ turn(r1) @ np.diag([s0, s1]) @ level_base @ turn(r3)
    low, high = 1 - corners.min(axis=0), 31 - corners.max(axis=0)
    centre = low + (high - low) * np.array(at[2:])
    return Placed(kind, level, corners + centre, centre, (s0, s1))


def area(placed: Placed) -> float:
    """As a share of the circle that the regular polygon stands in, times both scales."""
    k = CORNERS[placed.kind]
    return placed.scales[0] * placed.scales[1] * k * math.sin(2 * math.pi / k) / (2 * math.pi)


def hides(new: Placed, old: Placed) -> bool:
    """Whether the estimate of what ``new`` hides is over half of ``old``."""
    centre = np.trunc(old.centre)
    between = new.centre - centre
    d = float(np.linalg.norm(between))
    reach = max((old.corners - centre) @ between / d) + max(
        (new.corners - new.centre) @ -between / d
    )
    if reach < d:
        return False
    factor = 1 - math.exp(-(reach - d) * math.log(2) / d)
    return area(new) * factor > 0.5 * area(old)


def paint(levels: np.ndarray, placed: Placed) -> None:
    """Row by row between the outermost crossings of edges, corners cut to whole pixels."""
    corners = [(int(x), int(y)) for x, y in placed.corners]
    edges = [
        sorted(edge, key=lambda corner: corner[1])
        for edge in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    last = max(y for _, y in corners)
    for row in range(last + 1):
        crossings = [
            x0 + int((row - y0) * (x1 - x0) / (y1 - y0))
            for (x0, y0), (x1, y1) in edges
            if y0 <= row < y1 or y0 < row == y1 == last
        ]
        if crossings:
            levels[row, min(crossings) : max(crossings) + 1] = placed.grey
