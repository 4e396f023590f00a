"""Pooling and means over axes.

A mean of n elements that share s has second moment s + (q − s)/n. A maximum of n Gaussians with a
shared part is integrated with the density of the largest of n; an increasing activation in front
is taken inside, max φ(z) = φ(max z), because φ(z) itself is no longer Gaussian.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, reduce
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss

from evenflow.graph.layout import averaged, dims_of, expanded, reshaped, sliced, summed
from evenflow.graph.moments import Moments, aligned
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import landing_taps
from evenflow.theory.activations import Activation, find

Array = npt.NDArray[np.float64]


def _pooled_axes(step: Step) -> int:
    return int("".join(c for c in step.node.op if c.isdigit()))


def _counts(step: Step, *, padded: bool = False) -> Array:
    """For each window of one channel, the number of elements in it, those of padding too or not."""
    axes = _pooled_axes(step)
    lengths = step.shape("input")[-axes:], step.node.shape[-axes:]
    if step.node.op.startswith("adaptive"):
        each = [_adaptive(a, b) for a, b in zip(*lengths, strict=True)]
        return np.asarray(reduce(np.multiply.outer, each)).ravel()
    kernel = step.numbers("kernel_size", axes)
    stride = step.numbers("stride", axes) if step.node.arguments.get("stride") else kernel
    padding, dilation = step.numbers("padding", axes, 0), step.numbers("dilation", axes)
    each = [
        np.array(
            landing_taps(a + 2 * p, b, k, s, 0, d) if padded else landing_taps(a, b, k, s, p, d)
        )
        for a, b, k, s, p, d in zip(*lengths, kernel, stride, padding, dilation, strict=True)
    ]
    return np.asarray(reduce(np.multiply.outer, each)).ravel()


def _adaptive(length_in: int, length_out: int) -> Array:
    edges = np.arange(length_out)
    ends = -(-(edges + 1) * length_in // length_out)
    return np.asarray(ends - edges * length_in // length_out)


def _averages(step: Step) -> tuple[float, float, float]:
    """Means over windows of k/d, (k/d)² and k/d²: k elements are summed, d is divided by."""
    count = _counts(step)
    divisor = _counts(step, padded=bool(step.number("count_include_pad")))
    if step.node.arguments.get("divisor_override"):
        divisor = np.full_like(count, step.number("divisor_override"))
    share = count / divisor
    return float(share.mean()), float((share**2).mean()), float((share / divisor).mean())


def _window(x: Moments, axes: int) -> Moments:
    """Pairs of elements of one window, by where else they differ: neighbours where the distances
    are known, else any two positions. Axes that are pooled are dropped to length 1."""
    pairs = x.pairs
    rank = len(x.axes)
    for axis in reversed(range(rank - axes, rank)):
        for dim in reversed(dims_of(x, axis)):
            pairs = np.take(pairs, min(1, pairs.shape[dim] - 1), axis=dim)
    kept = (*x.axes[: rank - axes], *((),) * axes)
    return replace(x, pairs=pairs, axes=kept, hidden=None)


def _average(step: Step) -> Moments:
    x, axes = step.of("input"), _pooled_axes(step)
    mean, squared, divided = _averages(step)
    rank, shape = len(x.axes), step.node.shape
    found = x
    for axis in range(rank - axes, rank):
        found = sliced(found, axis, shape[axis], max(x.shape[axis] // shape[axis], 1))
    if prod(shape[rank - axes :]) == 1:
        found = averaged(x, range(rank - axes, rank), keep=True)
        return found.scaled(mean) if mean != 1 else found
    beside = _window(x, axes)
    a, b, kept = aligned(found, beside)
    dims = [d for axis in range(rank - axes, rank) for d in dims_of(found, axis)]
    far = np.full(a.shape, mean**2)  # pairs of elements of two windows
    index = tuple(0 if d in dims else slice(None) for d in range(a.ndim))
    same = divided * a + (squared - divided) * b
    pairs = far * a
    pairs[index] = np.broadcast_to(same, a.shape)[index]
    return replace(found, mean=mean * x.mean, pairs=pairs, axes=kept)


def _average_back(step: Step, cotangent: Moments) -> Cotangents:
    # An element of a window gets 1/d of its gradient: k·(1/d)² each window.
    _, _, divided = _averages(step)
    windows = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return {step.name("input"): _spread_out(step, cotangent, divided * windows)}


def _spread_out(step: Step, cotangent: Moments, factor: float) -> Moments:
    """Gradient of the pooled tensor at every position of the input."""
    axes, shape = _pooled_axes(step), step.shape("input")
    found, rank = cotangent, len(shape)
    for axis in range(rank - axes, rank):
        found = (
            expanded(found, [*found.shape[:axis], shape[axis], *found.shape[axis + 1 :]])
            if not found.axes[axis]
            else sliced(found, axis, shape[axis])
        )
    return found.scaled(factor**0.5)


register(
    *(f"{kind}avg_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    forward=_average,
    backward=_average_back,
)


def _keeps(step: Step) -> bool:
    return bool(step.number("keepdim"))


def _reduced(step: Step) -> int:
    return prod(step.shape("input")[a] for a in step.axes("dim"))


def _copied(step: Step, cotangent: Moments) -> Moments:
    """The gradient of a reduction at every element that went into it."""
    axes = step.axes("dim")
    kept = tuple(1 if a in axes else n for a, n in enumerate(step.shape("input")))
    return expanded(reshaped(cotangent, kept), step.shape("input"))


register(
    "mean",
    forward=lambda step: averaged(step.of("input"), step.axes("dim"), keep=_keeps(step)),
    backward=lambda step, cotangent: {
        step.name("input"): _copied(step, cotangent).scaled(1 / _reduced(step))
    },
)
register(
    "sum",
    forward=lambda step: summed(step.of("input"), step.axes("dim"), keep=_keeps(step)),
    backward=lambda step, cotangent: {step.name("input"): _copied(step, cotangent)},
)


@lru_cache(maxsize=64)
def _largest(n: float) -> tuple[Array, Array]:
    """Nodes and weights of the largest of ``n`` standard normal numbers."""
    from scipy.special import ndtr  # slow to import, and few networks need it

    nodes = np.linspace(-9.0, 9.0, 361)
    density = np.exp(-(nodes**2) / 2) * ndtr(nodes) ** (n - 1)
    return nodes, density / density.sum()


def _source(step: Step, argument: str = "input") -> tuple[Activation, Moments]:
    """The increasing activation in front of the maximum and its own input; else the identity."""
    producer = step.graph.node(step.name(argument))
    if producer is not None and producer.activation is not None:
        activation = producer.activation
        grid = np.linspace(-6.0, 6.0, 241)
        if bool(np.all(activation.derivative(grid) >= 0)):
            inner = replace(step, node=producer)
            return activation, inner.of("input")
    return find("linear"), step.of(argument)


class _Maximum:
    """The largest of a window of n Gaussians: what they share, plus the largest of what each has
    alone."""

    def __init__(self, z: Moments, beside: float, n: float, activation: Activation) -> None:
        nodes, weights = hermegauss(41)
        self.common = weights / weights.sum()
        largest, self.private = _largest(n)
        self.activation = activation
        self.shared = min(max(beside - z.mean**2, 0.0), z.variance)
        rest = np.sqrt(max(z.variance - self.shared, 0.0)) * largest
        self.values = z.mean + np.sqrt(self.shared) * nodes[:, None] + rest
        self.z, self.largest, self.n = z, largest, n

    def mean(self, of_values: Array) -> float:
        """Expectation of a function of the values."""
        return float(self.common @ (of_values @ self.private))

    def second(self, covariance: float) -> float:
        """E[M M′] of two windows whose pre-activations have this covariance."""
        nodes, weights = hermegauss(41)
        common = min(max(covariance, 0.0), self.shared)
        own = np.sqrt(self.shared - common) * nodes
        rest = np.sqrt(max(self.z.variance - self.shared, 0.0)) * self.largest
        values = self.z.mean + np.sqrt(common) * nodes[:, None, None] + own[:, None] + rest
        inner = (self.activation.function(values) @ self.private) @ (weights / weights.sum())
        return float((weights / weights.sum()) @ inner**2)


def _maximum(step: Step) -> Moments:
    activation, z = _source(step)
    axes = _pooled_axes(step)
    found = _Maximum(z, _window(z, axes).second, float(_counts(step).mean()), activation)
    outputs = activation.function(found.values)
    second = found.mean(outputs**2)
    rank, shape = len(z.axes), step.node.shape
    placed = z
    for axis in range(rank - axes, rank):
        placed = sliced(placed, axis, shape[axis], max(z.shape[axis] // shape[axis], 1))
    known: dict[float, float] = {}
    pairs = np.empty_like(placed.pairs)
    for index, covariance in np.ndenumerate(placed.pairs - z.mean**2):
        key = round(float(covariance) / max(z.variance, 1e-300), 6)
        if key not in known:
            known[key] = found.second(float(covariance))
        pairs[index] = known[key]
    pairs.flat[0] = second
    return replace(placed, mean=found.mean(outputs), pairs=pairs, spread=z.spread)


def passed_by_maximum(step: Step) -> float | None:
    """E[φ′²] where only the largest of each window gets a gradient; None if no maximum follows.

    The largest pre-activations are the likeliest to be in φ's open part, so behind ReLU nearly
    all of the gradient passes rather than half.
    """
    users = step.graph.users(step.node.name)
    if not users or any(not user.op.startswith(_MAXIMA) for user in users):
        return None
    pool = replace(step, node=users[0])
    activation, z = _source(pool)
    if activation is not step.node.activation:
        return None
    beside = _window(z, _pooled_axes(pool)).second
    largest = _Maximum(z, beside, float(_counts(pool).mean()), activation)
    return largest.mean(activation.derivative(largest.values) ** 2)


def _maximum_back(step: Step, cotangent: Moments) -> Cotangents:
    # One element of each window gets its gradient; those of two windows seldom the same place.
    windows = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    found = _spread_out(step, cotangent, windows)
    pairs = windows * found.pairs
    pairs.flat[0] = found.second
    return {step.name("input"): replace(found, pairs=pairs)}


_MAXIMA = ("max_pool", "adaptive_max_pool")
register(
    *(f"{kind}max_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    *(f"max_pool{axes}d_with_indices" for axes in (2, 3)),
    forward=_maximum,
    backward=_maximum_back,
)
