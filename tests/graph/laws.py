"""Laws of random tensors whose E[x·x′] is known for every pair of elements.

A tensor is the sum of independent parts, one for each set of axes along which that part differs.
Along the axes of images the parts can be box averages of white noise, so that neighbours are more
alike than strangers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from evenflow.graph.moments import Moments, axes_of


@dataclass(frozen=True)
class Law:
    """mean + Σ parts; ``parts`` gives the variance of that which differs along those axes alone."""

    shape: tuple[int, ...]
    parts: dict[tuple[int, ...], float]
    mean: float = 0.0
    roles: tuple[str, ...] = ()
    reach: int = 1
    """Along positions, how many neighbouring white numbers each is the mean of."""

    @property
    def moments(self) -> Moments:
        """Mean, and E[x·x′] of two elements by where they differ."""
        axes = axes_of(self.shape, self.roles)
        curves = [self._alike(axis) for axis in range(len(self.shape))]
        pairs = np.full([len(curve) for curve in curves], self.mean**2)
        for part, variance in self.parts.items():
            cases = np.full((), variance)
            for axis, curve in enumerate(curves):
                cases = np.multiply.outer(cases, curve if axis in part else np.ones_like(curve))
            pairs += cases
        kept = tuple(slice(None) if size > 1 else 0 for size in self.shape)
        return Moments(self.mean, pairs[kept], axes)

    def _alike(self, axis: int) -> np.ndarray:
        """What a part has in common at each distance along an axis."""
        if not self._smooth(axis):
            return np.array([1.0, 0.0])
        length = min(self.reach + 1, self.shape[axis])
        return np.maximum(1 - np.arange(max(length, 2)) / self.reach, 0.0)

    def _smooth(self, axis: int) -> bool:
        return self.reach > 1 and bool(self.roles) and self.roles[axis] == "positions"

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One tensor."""
        x = np.full(self.shape, self.mean)
        for part, variance in self.parts.items():
            more = [self.reach - 1 if self._smooth(axis) else 0 for axis in part]
            size = [1] * len(self.shape)
            for axis, extra in zip(part, more, strict=True):
                size[axis] = self.shape[axis] + extra
            noise = rng.standard_normal(size)
            for axis, extra in zip(part, more, strict=True):
                if extra:
                    noise = np.lib.stride_tricks.sliding_window_view(noise, self.reach, axis).sum(
                        -1
                    ) / np.sqrt(self.reach)
            x = x + np.sqrt(variance) * noise
        return x


def mixed(
    shape: Sequence[int], mean: float = 0.4, roles: Sequence[str] = (), reach: int = 1
) -> Law:
    """A law in which something differs along every set of axes, each with its own variance."""
    axes = range(len(shape))
    sets = list(chain.from_iterable(combinations(axes, n) for n in range(1, len(shape))))
    parts = {part: 0.5 * (1 + place % 3) / len(sets) for place, part in enumerate(sets)}
    return Law(tuple(shape), parts | {tuple(axes): 0.8}, mean, tuple(roles), reach)


def white(shape: Sequence[int], variance: float, mean: float = 0.0) -> Law:
    """Every element drawn afresh."""
    return Law(tuple(shape), {tuple(range(len(shape))): variance}, mean)
