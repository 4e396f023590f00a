"""Kinds of examples of a batch, where these differ in size or smoothness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from evenflow.graph.kinds.kinds import Kinds, with_others
from evenflow.graph.moments import Array, axes_of, roles_of
from evenflow.graph.numbers.measured import measured

_MOST = 8
_ALIKE = 0.05
"""A relative variance of the examples' sizes below which they are of one kind."""
_NOTHING = 1e-150


def kinds_of(
    inputs: Mapping[str, npt.NDArray[np.float64]], distances: Mapping[str, int]
) -> dict[str, Kinds]:
    """Moments of each kind of examples of some inputs, if these differ; ``distances`` as for
    ``measured``.

    Inputs of as many examples are sorted alike: their n-th examples belong together.
    """
    sizes = {n: _sizes(x) for n, x in inputs.items() if x.ndim > 1 and len(x) > 1 and x.size}
    varied = {name: float(np.var(each)) for name, each in sizes.items()}
    leading = max(varied, key=varied.__getitem__, default="")
    if not leading or varied[leading] < _ALIKE:
        return {}
    order = np.argsort(sizes[leading])
    return {
        name: _measured(x, order, distances[name])
        for name, x in inputs.items()
        if name in sizes and len(x) == len(order)
    }


def _sizes(x: npt.NDArray[np.float64]) -> Array:
    """Mean square of each example, or over its units of their means over its positions, whichever
    varies more; relative to that of all."""
    places = tuple(axis for axis, role in enumerate(roles_of(x.shape)) if role == "positions")
    whole, of_means = (
        np.square(each).reshape(len(x), -1).mean(axis=1) for each in (x, x.mean(axis=places))
    )
    found = [size / size.mean() for size in (whole, of_means) if size.mean() > _NOTHING]
    return max(found, key=np.var, default=np.ones(len(x)))


def _measured(x: npt.NDArray[np.float64], order: npt.NDArray[np.intp], distances: int) -> Kinds:
    """Of kinds that have as many examples each, or nearly so."""
    axes = axes_of(x.shape, roles_of(x.shape))
    groups = np.array_split(order, min(_MOST, len(x)))
    # A single example is taken twice: what they share is not read.
    twice = (x[np.resize(group, max(len(group), 2))] for group in groups)
    kinds = [replace(measured(each, roles_of(x.shape), distances), axes=axes) for each in twice]
    alone = [kind.pairs[0] for kind in kinds]
    means = [x[group].mean(axis=0) for group in groups]

    def met(one: int, other: int) -> Array:
        both = np.stack([means[one], means[other]])
        found: Array = measured(both, roles_of(x.shape), distances).pairs[1]
        count = len(groups[one])
        if one != other or count == 1:
            return found
        # The mean of a kind's examples has each by itself in it.
        return np.asarray((count * found - alone[one]) / (count - 1))

    others = [[met(*sorted((k, j))) for j in range(len(kinds))] for k in range(len(kinds))]
    return with_others(kinds, np.array(alone), np.array(others))
