"""Thinning: which samples of a long training are kept.

The first ``FIRST`` and the latest ``RECENT`` stay as they are; of those between, every 1st, 2nd,
4th, 8th … so that never more than ``BETWEEN`` are left. What is kept depends on how many samples
there were and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

FIRST = 64
RECENT = 256
BETWEEN = 1024
MOST = FIRST + RECENT + BETWEEN
"""Most samples that are ever kept."""


def stride(count: int) -> int:
    """Of ``count`` samples, the distance of those kept between the first and the latest."""
    found = 1
    while count // found > BETWEEN:
        found *= 2
    return found


def dropped(number: int) -> Iterator[tuple[int, int, int]]:
    """What goes when sample ``number`` (from 0) has been added to those before it.

    Yields (from, to, step): samples from ≤ n < to go where n is no multiple of step.
    """
    end = number + 1 - RECENT
    if end <= FIRST:
        return
    now, before = stride(number + 1), stride(number)
    if now != before:
        yield FIRST, end, now
    else:
        yield end - 1, end, now


def kept(count: int) -> list[int]:
    """Numbers of the samples that are left of ``count``, ascending."""
    step = stride(count)
    return [n for n in range(count) if n < FIRST or n >= count - RECENT or n % step == 0]
