"""Measure a stored tensor piece by piece: moments, extremes, copies within it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evenflow.checkpoint.stored import Array, Chunk, StoredTensor
from evenflow.record.audit import TensorAudit

PIECE = 1 << 24
"""Bytes of a piece: what is in memory at a time."""
MOST_WAYS = 1024
"""Most equal shards that a tensor is searched for."""
_LOOKED_AT = 8
"""Rows that are searched for repeated columns."""
_FEWEST = 16
"""Elements in a repeated stretch of a row: fewer could be alike by chance in 16 bits."""

Progress = Callable[[int], None]


@dataclass
class _Sums:
    """What adds up over pieces."""

    total: float = 0.0
    squares: float = 0.0
    fourths: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    nonfinite: int = 0
    zero_rows: int = 0
    rows: int = 0
    digests: list[bytes] = field(default_factory=list)


def measured(tensor: StoredTensor, progress: Progress) -> tuple[TensorAudit, str]:
    """The tensor in numbers, and a digest that equal tensors share.

    Reads about ``PIECE`` bytes at a time, or one row where a row is longer.
    """
    sums, ways, axis = _Sums(), 0, 0
    for chunk in tensor.chunks:
        hashes, head = _scan(tensor, chunk, sums, progress)
        sums.digests.append(hashlib.blake2b(hashes.tobytes(), digest_size=16).digest())
        if len(tensor.chunks) == 1 and len(tensor.shape) > 1:
            by_columns = _repeats_in_rows(head, tensor.shape[1])
            ways = _repeats(hashes) or by_columns
            axis = 1 if by_columns and ways is by_columns else 0
    count = math.prod(tensor.shape)
    finite = max(count - sums.nonfinite, 1)
    second = sums.squares / finite
    constant = sums.low == sums.high
    audit = TensorAudit(
        name=tensor.name,
        code=tensor.code,
        shape=tensor.shape,
        count=count,
        nonfinite=sums.nonfinite,
        mean=sums.total / finite,
        second_moment=second,
        minimum=sums.low,
        maximum=sums.high,
        kurtosis=sums.fourths / finite / second**2 if second > 0 else math.nan,
        rows=sums.rows,
        zero_rows=sums.zero_rows,
        shards=len(tensor.chunks),
        equal_shards=0 if constant else _equal(tensor, sums.digests),
        ways=0 if constant else ways,
        axis=axis,
    )
    parts = sorted(zip((chunk.start for chunk in tensor.chunks), sums.digests, strict=True))
    said = repr((tensor.shape, tensor.code, parts))
    return audit, hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _scan(
    tensor: StoredTensor, chunk: Chunk, sums: _Sums, progress: Progress
) -> tuple[NDArray[np.uint64], Array]:
    """Add a chunk to the sums; returns a hash of every row, and its first rows."""
    from evenflow.checkpoint.kernels import scan  # imports Numba: when it is needed, not before

    if len(chunk.shape) < 2:  # a vector is one row
        chunk = Chunk(chunk.file, chunk.begin, chunk.start, (1, math.prod(chunk.shape)),
                      chunk.strides and (0, *chunk.strides))  # fmt: skip
    found: list[NDArray[np.uint64]] = []
    head: Array = np.zeros((0, 0))
    for piece in chunk.pieces(tensor.code, PIECE):
        hashes = np.empty(len(piece), np.uint64)
        total, squares, fourths, low, high, nonfinite, zero_rows = scan(
            piece, piece.view(np.uint32), hashes
        )
        sums.total += total
        sums.squares += squares
        sums.fourths += fourths
        sums.low, sums.high = min(sums.low, low), max(sums.high, high)
        sums.nonfinite += nonfinite
        sums.zero_rows += zero_rows
        sums.rows += len(piece)
        if not found:
            head = piece[:_LOOKED_AT].copy()
        found.append(hashes)
        progress(piece.size)
    return np.concatenate(found) if found else np.empty(0, np.uint64), head


def _repeats(hashes: NDArray[np.uint64]) -> int:
    """Into how many equal blocks of rows the tensor can be cut, the most; 0 for none.

    As ``torch.chunk`` cuts: the last block may be shorter. A block has two rows at least that
    differ: rows that are all alike are another fault.
    """
    rows = len(hashes)
    for ways in range(min(rows // 2, MOST_WAYS), 1, -1):
        block = -(-rows // ways)
        if (
            hashes[0] == hashes[block]
            and np.array_equal(hashes[block:], hashes[:-block])
            and len(np.unique(hashes[:block])) > 1
        ):
            return ways
    return 0


def _repeats_in_rows(head: Array, length: int) -> int:
    """The same along axis 1, of ``length``, going by the first rows."""
    if head.size == 0:
        return 0
    rows = head.reshape(len(head), length, -1)
    for ways in range(min(length, MOST_WAYS), 1, -1):
        block = -(-length // ways)
        first, rest = rows[:, :block], rows[:, block:]
        if rest.size < _FEWEST or not np.array_equal(rows[:, 0], rows[:, block]):
            continue
        if np.array_equal(rest, rows[:, :-block]) and first.min() < first.max():
            return ways
    return 0


def _equal(tensor: StoredTensor, digests: list[bytes]) -> int:
    """How many chunks hold the same as another chunk of the same shape."""
    shapes = [chunk.shape for chunk in tensor.chunks]
    seen = Counter(zip(shapes, digests, strict=True))
    return sum(times for (shape, _), times in seen.items() if times > 1 and math.prod(shape) > 1)
