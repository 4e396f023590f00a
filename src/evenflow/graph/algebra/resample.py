"""Resample: a fixed linear map along one axis, such as a mean over windows or every second index.

The map is a list of reads (``algebra.taps``); E[x·x′] of two of its results is the sum over all
pairs of what they read. Gradients go through the same reads the other way round.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.graph.algebra.layout import as_one_atom, dims_of, without_places
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.moments import Atom, Moments

_FARTHEST = 9
"""Entries that a wider spread of distances may grow to."""


def resampled(x: Moments, axis: int, reads: Reads, *, scatter: bool = False) -> Moments:
    """Weighted sums of what each position reads along ``axis``, or, with ``scatter``, of what the
    readers add to each position: for a gradient."""
    size = reads.large if scatter else reads.small
    x = as_one_atom(x, axis)
    (dim,) = dims_of(x, axis)
    length = x.pairs.shape[dim]
    kept = distances(length, size, x.shape[axis])
    matrix = (reads.backwards if scatter else reads.forwards)(kept, length)
    pairs = np.moveaxis(np.tensordot(matrix, x.pairs, axes=(1, dim)), 0, dim)
    atoms = (Atom(size, x.axes[axis][0].role),) if size > 1 else ()
    axes = (*x.axes[:axis], atoms, *x.axes[axis + 1 :])
    mean = x.mean * reads.landing / size
    pairs = pairs if atoms else pairs.squeeze(dim)
    return without_places(replace(x, mean=mean, pairs=pairs, axes=axes, hidden=None), x)


def distances(length: int, size: int, before: int) -> int:
    """How many distances to tell apart along an axis of ``size`` that had ``before`` positions, and
    ``length`` distances."""
    if size == 1:
        return 1
    if length > 2 and size > before:  # what were neighbours are now further apart
        length = max(length, min((length - 2) * -(-size // before) + 2, _FARTHEST))
    return min(max(length, 2), size)
