"""Thinning: which samples of a long training are kept.

The first ``FIRST`` and the latest ``RECENT`` stay as they are; of those between, every 1st, 2nd,
4th, 8th … so that never more than ``BETWEEN`` are left. It is done for ``TOGETHER`` samples at a
time. What is kept depends on how many samples there were and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

FIRST = 64
RECENT = 256
BETWEEN = 1024
TOGETHER = 64
MOST = FIRST + RECENT + BETWEEN + TOGETHER - 1
"""Most samples that are ever kept."""


def stride(count: int) -> int:
    """Of ``count`` samples, the distance of those kept between the first and the latest."""
    found = 1
    while count // found > BETWEEN:
        found *= 2
    return found


def dropped(count: int) -> Iterator[tuple[int, int, int]]:
    """What goes when there have been ``count`` samples.

    Yields (from, to, step): samples from ≤ n < to go where n is no multiple of step.
    """
    end = count - RECENT
    if count % TOGETHER or end <= FIRST:
        return
    now = stride(count)
    yield (FIRST if now != stride(count - TOGETHER) else max(FIRST, end - TOGETHER)), end, now


def kept(count: int) -> list[int]:
    """Numbers of the samples that are left of ``count``, ascending."""
    thinned = count - count % TOGETHER
    step = stride(thinned)
    return [n for n in range(count) if n < FIRST or n >= thinned - RECENT or n % step == 0]
