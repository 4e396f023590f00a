"""Which elements of a tensor a sampled training step looks at: examples, or even parts of them.

A training goes on while it is watched, so of a large tensor a sample is read. It keeps examples
together, for what concerns units (dead ones, what examples have in common), and reads memory in
runs, for speed. At most ``EXAMPLES`` examples and about ``ELEMENTS`` elements are read: the second
moment of a normal tensor is then right to √(2/8192) = 1.6 % (one standard error).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ELEMENTS = 2**13
"""About how many elements of a tensor are read at a sampled step."""
PARAMETERS = 2**12
"""About how many of a parameter and of its gradient: second moments are right to 2.2 %."""
EXAMPLES = 64
"""Most examples that are read, evenly spread over the batch."""
HISTOGRAM = 2**12
"""About how many of them a histogram counts: its 2nd percentile is right to 0.045 σ."""
_FEWEST_EXAMPLES = 16
"""So many are read of a batch even where each is large: fewer tell nothing of units."""
_RUN = 16
"""Shortest stretch of memory worth reading: one cache line of float32."""

Layout = NDArray[np.int64]
"""What ``record.run_kernels`` reads; the fields are named in ``_layout``."""


@lru_cache(maxsize=4096)
def signal_layout(shape: tuple[int, ...], channels_first: bool) -> Layout:
    """The sample of a layer's output of ``shape``, examples along the first axis.

    Units are channels along the second axis if ``channels_first``, else the last axis. Raises
    ValueError for a tensor without elements.
    """
    if not shape or 0 in shape:
        raise ValueError(f"a tensor of shape {shape} has no elements to sample")
    if len(shape) == 1:
        return flat_layout(shape[0])
    each = math.prod(shape[1:])
    examples = min(shape[0], EXAMPLES, max(_FEWEST_EXAMPLES, ELEMENTS // each))
    share = max(1, ELEMENTS // examples)
    if channels_first and len(shape) > 2:
        groups, pitch = shape[1], each // shape[1]
        run, units, unit_step = min(pitch, max(_RUN, share // groups)), groups, pitch
    else:
        units = shape[-1]
        positions = each // units
        run = units * min(positions, max(1, share // units))
        groups, pitch, unit_step = 1, each, 1
    first = (shape[0] // examples) * each
    start = (
        (pitch - run) // 2 // max(units if groups == 1 else 1, 1) * (units if groups == 1 else 1)
    )
    return _layout(start, examples, first, groups, pitch, run, units, unit_step, math.prod(shape))


@lru_cache(maxsize=4096)
def flat_layout(size: int) -> Layout:
    """The sample of a parameter of ``size`` elements: short runs, evenly spread.

    There are no examples in it: the runs count as one example's groups.
    """
    if size <= PARAMETERS:
        return _layout(0, 1, size, 1, size, size, 1, 1, size)
    run = 16 * _RUN
    groups = PARAMETERS // run
    pitch = size // groups
    pitch -= 1 - pitch % 2  # odd: rows of a matrix are mostly even, and are met at every column
    return _layout(0, 1, size, groups, pitch, run, 1, 1, size)


def compact(layout: Layout) -> Layout:
    """The same sample once its runs have been copied one behind the other."""
    packed = layout.copy()
    groups, run = layout[3], layout[5]
    packed[0], packed[2], packed[4] = 0, groups * run, run
    return packed


def sampled(layout: Layout) -> int:
    """How many elements a sample of this layout reads."""
    return int(layout[1] * layout[3] * layout[5])


def _layout(
    start: int,
    examples: int,
    example_pitch: int,
    groups: int,
    group_pitch: int,
    run: int,
    units: int,
    unit_step: int,
    size: int,
) -> Layout:
    """Runs of ``run`` neighbours: one a group, ``groups`` an example.

    Example e's group g begins at start + e · example_pitch + g · group_pitch. ``unit_step`` is 1
    where neighbours belong to different units, else a whole group belongs to one unit.
    """
    rows = examples * groups
    wanted = max(1, min(rows, HISTOGRAM // run))
    step = max(1, rows // wanted)
    while step > 1 and math.gcd(step, groups) > 1:  # otherwise some groups were never counted
        step -= 1
    return np.array(
        [start, examples, example_pitch, groups, group_pitch, run, units, unit_step, size, step],
        dtype=np.int64,
    )
