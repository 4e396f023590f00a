"""Which positions of one tensor go into which of another, and how often pairs of them meet.

Convolutions, pools and interpolations are, along each axis, a list of positions that every output
reads, by its taps. E[x·x′] of two outputs is a sum over the pairs of what they read, so all that is
needed of an axis is how many such pairs there are, by the distance of the two outputs and by the
distance of the two inputs. Read the other way round, the same table serves gradients.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.pairs import counts
from evenflow.graph.moments import Array


class Reads:
    """Along one axis: what each of ``small`` positions reads, by each tap, of ``large`` others."""

    def __init__(
        self, source: npt.NDArray[np.int_], large: int, weight: Array | None = None
    ) -> None:
        inside = (source >= 0) & (source < large)
        self.source = np.where(inside, source, 0)
        self.weight = np.where(inside, 1.0 if weight is None else weight, 0.0)
        self.small, self.taps = source.shape
        self.large = large
        self._tables: dict[tuple[int, int, bool], Array] = {}

    @cached_property
    def landing(self) -> float:
        """Number of pairs (position, tap) that read something, each times its weight."""
        return float(self.weight.sum())

    @cached_property
    def matrix(self) -> Array:
        """How much each position (rows) reads of each (columns)."""
        found = np.zeros((self.small, self.large))
        rows = np.broadcast_to(np.arange(self.small)[:, None], self.source.shape)
        np.add.at(found, (rows, self.source), self.weight)
        return found

    def meeting(self, rows: int, columns: int, *, same_tap: bool | None = None) -> Array:
        """How many pairs of reads there are, by the distance of the readers (rows) and of what they
        read (columns); the last of each stands for all beyond.

        Of the same tap, of two different ones, or of any two if ``same_tap`` is None.
        """
        if same_tap is False:
            return self.meeting(rows, columns) - self.meeting(rows, columns, same_tap=True)
        key = rows, columns, bool(same_tap)
        if key not in self._tables:
            self._tables[key] = self._counted(*key)
        return self._tables[key]

    def _counted(self, rows: int, columns: int, same_tap: bool) -> Array:
        near = [self._at(apart, columns, same_tap) for apart in range(min(rows - 1, self.small))]
        found = np.zeros((rows, columns))
        for apart, each in enumerate(near):
            found[apart] = each * (1 if apart == 0 else 2)
        found[-1] = self._anywhere(columns, same_tap) - found[:-1].sum(axis=0)
        return found

    def _at(self, apart: int, columns: int, same_tap: bool) -> Array:
        """Of readers ``apart`` positions from one another, in one direction."""
        count = self.small - apart
        ahead, behind = self.source[apart:], self.source[:count]
        weight, other = self.weight[apart:], self.weight[:count]
        if not same_tap:
            ahead, weight = ahead[:, :, None], weight[:, :, None]
            behind, other = behind[:, None, :], other[:, None, :]
        distance = np.minimum(np.abs(ahead - behind), columns - 1)
        found = np.bincount(distance.ravel(), (weight * other).ravel(), minlength=columns)
        return found.astype(np.float64)

    def _anywhere(self, columns: int, same_tap: bool) -> Array:
        """Of any two readers: how often each position is read, correlated with itself."""
        taps = np.arange(self.taps) if same_tap else np.zeros(self.taps, dtype=np.int_)
        place = np.broadcast_to(taps, self.source.shape) * self.large + self.source
        lists = self.taps if same_tap else 1
        read = np.bincount(place.ravel(), self.weight.ravel(), minlength=lists * self.large)
        read = read.reshape(lists, self.large)
        near = [
            (1 if d == 0 else 2) * float(np.sum(read[:, d:] * read[:, : self.large - d]))
            for d in range(min(columns - 1, self.large))
        ]
        found = np.zeros(columns)
        found[: len(near)] = near
        found[-1] += float(np.sum(read.sum(axis=1) ** 2)) - sum(near)
        return found

    def forwards(self, kept: int, length: int, *, same_tap: bool | None = None) -> Array:
        """Matrix by which E[x·x′] of what is read, at ``length`` distances, becomes that of the
        readers, at ``kept`` distances."""
        table = self.meeting(kept, length, same_tap=same_tap)
        return table / np.maximum(counts(self.small, kept), 1.0)[:, None]

    def backwards(self, kept: int, length: int, *, same_tap: bool | None = None) -> Array:
        """The same from the readers to what they read: for a gradient."""
        table = self.meeting(length, kept, same_tap=same_tap).T
        return table / np.maximum(counts(self.large, kept), 1.0)[:, None]


@lru_cache(maxsize=4096)
def sliding_reads(
    small: int, large: int, kernel: int, stride: int, padding: int, dilation: int
) -> Reads:
    """Position o reads o·stride − padding + tap·dilation."""
    source = np.arange(small)[:, None] * stride - padding + np.arange(kernel) * dilation
    return Reads(source, large)
