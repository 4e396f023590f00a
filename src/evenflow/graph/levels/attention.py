"""Levels of attention: rows that see different keys, and queries, keys and values of unlike size.

A row of n keys averages values, so its level falls about as 1/n: Σp² = S/n over keys of its own
(S from ``softmax.competition``), and what all values share stays. Under a causal mask the first
rows are therefore the largest, and so are the gradients of the first keys and values, which most
rows read. Each sum below is taken once with the levels that are known and once without any; only
their ratio counts, for the rule of attention itself knows the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from evenflow.graph.levels.levels import Levels, kernel_of
from evenflow.graph.levels.mixing import Mixing
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.moments import Array, Moments
from evenflow.graph.numbers.constants import SEEN, core_of
from evenflow.graph.rules.attention import Attention
from evenflow.graph.rules.registry import Arriving, Result, Step
from evenflow.graph.softmax.attention import apart, logit_variance
from evenflow.graph.softmax.chance import chance
from evenflow.graph.softmax.competition import Competition, competition

_LARGEST = 1024
"""Masks of more rows or keys than this make no levels."""
_LITTLE = 0.01
"""Chance over all keys that changes nothing."""
_STEPS = 24
"""Moves between a linear map and the attention that reads it."""
_NOTHING = 1e-6
"""Rows that are less alike than this have nothing in common."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """Which keys each row sees, as sums over them."""

    number: Array
    """Keys of each row."""
    over_keys: Callable[[Array], Array]
    over_rows: Callable[[Array], Array]

    @cached_property
    def matrix(self) -> Array:
        """Rows by keys: 1 where a row sees a key."""
        keys = self.over_rows(np.ones_like(self.number)).size
        return np.stack([self.over_keys(each) for each in np.eye(keys)], axis=1)


@lru_cache(maxsize=64)
def _causal(rows: int, keys: int) -> _Seen:
    last = np.minimum(np.arange(rows), keys - 1)

    def over_rows(w: Array) -> Array:
        later = np.cumsum(w[::-1])[::-1]
        return np.pad(later, (0, max(keys - rows, 0)))[:keys]

    return _Seen(last + 1.0, lambda a: np.cumsum(a)[last], over_rows)


@lru_cache(maxsize=64)
def _everything(rows: int, keys: int) -> _Seen:
    return _Seen(
        np.full(rows, float(keys)),
        lambda a: np.full(rows, a.sum()),
        lambda w: np.full(keys, w.sum()),
    )


def _masked(use: Use, rows: int, keys: int) -> _Seen | None:
    """By a mask that is the same for all examples and heads."""
    numbers = use.step.values("attn_mask")
    if numbers is None:
        return None
    core, _ = core_of(numbers)
    if any(n > 1 for n in core.shape[:-2]) or max(rows, keys) > _LARGEST:
        return None
    seen = np.broadcast_to(core.reshape(core.shape[-2:]), (rows, keys))
    matrix = seen.astype(float) if seen.dtype == bool else (seen > SEEN).astype(float)
    matrix[matrix.sum(axis=1) == 0] = 1.0
    return _Seen(matrix.sum(axis=1), lambda a: matrix @ a, lambda w: w @ matrix)


def _seen(use: Use) -> _Seen | None:
    rows, keys = use.step.shape("query")[-2], use.step.shape("key")[-2]
    if use.step.number("is_causal"):
        return _causal(rows, keys)
    if use.step.has("attn_mask"):
        return _masked(use, rows, keys)
    return _everything(rows, keys)


def _tokens(levels: Levels | None, shape: tuple[int, ...]) -> Array:
    """Levels of queries, keys or values along their tokens; all 1 where none are known."""
    if levels is not None and levels.axis(shape) == len(shape) - 2:
        return levels.values
    return np.ones(shape[-2])


def _shared(x: Moments) -> float:
    """E[x·x′] of two tokens of one example and head."""
    _, other = apart(x, len(x.axes) - 2)
    return other.second


def _own_and_shared(x: Moments, levels: Array) -> tuple[float, float]:
    """Parts of the second moment, at level 1, that a token has alone and that all of them share."""
    mean_root = float(np.sqrt(levels).mean())
    shared = min(max(_shared(x), 0.0) / max(mean_root**2, 1e-12), 0.999 * x.second)
    return x.second - shared, shared


class _Sums:
    """One use of attention, its rows and keys as sums."""

    def __init__(self, use: Use, seen: _Seen) -> None:
        attention = Attention(use.step)
        self.seen, self.step = seen, use.step
        logits = attention.logits
        self.met: Competition = competition(
            logit_variance(logits, len(logits.axes) - 1), seen.number
        )
        self.known = {
            argument: _tokens(use.of(argument), use.step.shape(argument))
            for argument in ("query", "key", "value")
        }
        self.flat = {name: np.ones_like(levels) for name, levels in self.known.items()}

    def rows(self, levels: Mapping[str, Array]) -> Array:
        """E[o²] of each row."""
        a, n = levels["value"], self.seen.number
        own, shared = _own_and_shared(self.step.of("value"), a)
        alone = own * self.met.square / n * self.seen.over_keys(a) / n
        return alone + shared * (self.seen.over_keys(np.sqrt(a)) / n) ** 2

    def to_values(self, arrived: Moments, b: Array) -> Array:
        """E[(Σ_i p_ij δ_i)²] of each key j."""
        own, shared = _own_and_shared(arrived, b)
        n = self.seen.number
        alone = own * self.seen.over_rows(b * self.met.square / n**2)
        return alone + shared * self.seen.over_rows(np.sqrt(b) / n) ** 2

    def _logits_back(self, b: Array) -> Array:
        """Σ_j E[δz_ij²] of each row i, over its mean of what the values have alone."""
        n = self.seen.number
        passed = self.met.square - 2 * self.met.cube / n + self.met.square_of_square / n
        return b * np.maximum(passed, 0.0) / n

    def to_queries(self, levels: Mapping[str, Array], b: Array, alike: float) -> Array:
        keys = self.seen.over_keys(levels["value"] * levels["key"])
        by_chance = 1 + alike * (self.seen.number - 1)
        return self._logits_back(b) * by_chance * keys / self.seen.number

    def to_keys(self, levels: Mapping[str, Array], b: Array) -> Array:
        each = self._logits_back(b) * levels["query"] / self.seen.number
        return levels["value"] * self.seen.over_rows(each)


def _ratio(told: Array, flat: Array, by_rule: Moments) -> Levels | None:
    """Levels along tokens, from what is told of them and of even ones, and what the rule of
    attention found; matrices are kernels."""
    axis, shape = len(by_rule.axes) - 2, by_rule.shape
    if told.ndim == 1:
        mean = float(flat.mean())
        return Levels.along(told / mean, axis, shape) if mean > 0 and told.size > 1 else None
    size = len(flat)
    mean = float(np.trace(flat)) / size
    if mean <= 0 or size < 2:
        return None
    kernel = told / mean
    kernel *= np.where(np.eye(size) > 0, 1.0, _rows_alike(flat / mean, by_rule))
    return Levels.along(np.diag(kernel), axis, shape, kernel)


def _rows_alike(flat: Array, by_rule: Moments) -> float:
    """How much more alike two rows are than mixing alone makes them: their logits are alike too."""
    size = len(flat)
    mixed = (flat.sum() - size) / (size * (size - 1))
    found = _shared(by_rule) / by_rule.second if by_rule.second > 0 else 0.0
    return found / mixed if abs(mixed) > _NOTHING else 1.0


def _kernel(x: Moments, levels: Levels | None, shape: tuple[int, ...]) -> Array | None:
    """How alike the tokens of an operand are; None for too many."""
    tokens = Levels.along(np.ones(shape[-2]), len(shape) - 2, shape)
    return kernel_of(x, levels, tokens, shape)


def _kernel_of(use: Use, argument: str) -> Array | None:
    return _kernel(use.step.of(argument), use.of(argument), use.step.shape(argument))


def _is_even(use: Use) -> bool:
    """Whether all rows see all keys, and no operand has levels."""
    sees_all = not use.step.number("is_causal") and not use.step.has("attn_mask")
    return sees_all and all(use.of(name) is None for name in ("value", "key", "query"))


def _rows(use: Use, result: Result) -> Levels | None:
    seen = _seen(use)
    if seen is None or _is_even(use):
        return None
    sums = _Sums(use, seen)
    told, even = (_kernel_of(each, "value") for each in (use, Use(use.step, {})))
    if told is None or even is None:
        return _ratio(sums.rows(sums.known), sums.rows(sums.flat), one(result))
    mixing = Mixing(seen.matrix, sums.met)
    return _ratio(mixing.forwards(told), mixing.forwards(even), one(result))


def _from_one_source(use: Use) -> float:
    """Mean square correlation that chance gives two tokens in keys and values at once, where both
    are linear maps of the same tensor."""
    sources = {_mapped(use.step, use.step.name(argument)) for argument in ("key", "value")}
    name = sources.pop()
    return 0.0 if sources or name is None else chance(use.step, name, use.chances)


def _mapped(step: Step, name: str) -> str | None:
    """What a linear map, before moves and rotations, has read."""
    for _ in range(_STEPS):
        node = step.graph.node(name)
        if node is None:
            return None
        if node.op in ("linear", "addmm"):
            return replace(step, node=node).name("input" if node.op == "linear" else "mat1")
        name = next((n for _, n in node.refs() if n not in step.graph.parameters), "")
    return None


def _rows_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    seen, step = _seen(use), use.step
    if seen is None:
        return {}
    alike = _from_one_source(use)
    if levels is None and _is_even(use) and alike * seen.number[-1] < _LITTLE:
        return {}
    sums, arrived = _Sums(use, seen), one(cotangent)
    told = _sent(use, sums, arrived, levels, alike)
    even = _sent(Use(step, {}), sums, arrived, None, 0.0)
    names = {argument: step.name(argument) for argument in told}
    return {
        name: _ratio(told[argument], even[argument], use.sent[name])
        for argument, name in names.items()
    }


def _sent(
    use: Use, sums: _Sums, arrived: Moments, levels: Levels | None, alike: float
) -> dict[str, Array]:
    """Of the gradients of values, queries and keys."""
    values, keys, queries = (_kernel_of(use, name) for name in ("value", "key", "query"))
    gradient = _kernel(arrived, levels, use.step.node.shape)
    if values is None or keys is None or queries is None or gradient is None:
        known = {name: _tokens(use.of(name), use.step.shape(name)) for name in sums.known}
        b = _tokens(levels, use.step.node.shape)
        return {
            "value": sums.to_values(arrived, b),
            "query": sums.to_queries(known, b, alike),
            "key": sums.to_keys(known, b),
        }
    mixing = Mixing(sums.seen.matrix, sums.met)
    return {
        "value": mixing.to_values(gradient),
        "query": mixing.to_queries(values, keys, gradient, alike),
        "key": mixing.to_keys(values, queries, gradient),
    }


register("scaled_dot_product_attention", forward=_rows, backward=_rows_back, makes=True)
