"""Pooling and means over axes.

A mean of n elements that share s has second moment s + (q − s)/n. A maximum of n Gaussians with a
shared part is integrated with the density of the largest of n; an increasing activation in front
is taken inside, max φ(z) = φ(max z), because φ(z) itself is no longer Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss

from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import landing_taps
from evenflow.theory.activations import Activation, find

Array = npt.NDArray[np.float64]


def _averaged(x: Moments, shared: float, n: float, squared: float, divided: float) -> Moments:
    """Moments of (sum of k elements that have ``shared`` in common)/d, averaged over windows.

    ``n``, ``squared`` and ``divided`` are the means of k/d, (k/d)² and k/d².
    """

    def at(moment: float) -> float:
        return squared * min(moment, shared) + divided * max(moment - shared, 0.0)

    return Moments(n * x.mean, at(x.second), at(x.shared_examples), at(x.shared_positions))


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


def _average(step: Step) -> Moments:
    x = step.of("input")
    return _averaged(x, x.shared_positions, *_averages(step))


def _average_back(step: Step, cotangent: float) -> Cotangents:
    # An element of a window gets 1/d of its gradient: k·(1/d)² each window.
    _, _, divided = _averages(step)
    windows = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return {step.name("input"): cotangent * divided * windows}


register(
    *(f"{kind}avg_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    forward=_average,
    backward=_average_back,
)


def _axes(step: Step) -> tuple[int, ...]:
    rank = len(step.shape("input"))
    given = step.node.arguments.get("dim")
    axes = given if isinstance(given, tuple) and given else tuple(range(rank))
    return tuple(int(a) % rank for a in axes if isinstance(a, int))


def _over_units(step: Step) -> bool:
    """Whether the reduced axes hold the units: axis 1 of images, the last axis of all else."""
    rank = len(step.shape("input"))
    return (1 if rank >= 4 else rank - 1) in _axes(step)


def _reduced(step: Step) -> int:
    return prod(step.shape("input")[a] for a in _axes(step))


def _mean(step: Step) -> Moments:
    x = step.of("input")
    shared = x.mean**2 if _over_units(step) else x.shared_positions
    return _averaged(x, shared, 1.0, 1.0, 1 / _reduced(step))


register(
    "mean",
    forward=_mean,
    backward=lambda step, cotangent: {step.name("input"): cotangent / _reduced(step) ** 2},
)
register(
    "sum",
    forward=lambda step: _mean(step).scaled(_reduced(step)),
    backward=lambda step, cotangent: {step.name("input"): cotangent},
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
            inner = Step(step.graph, producer, step.known)
            return activation, inner.of("input")
    return find("linear"), step.of(argument)


@dataclass(frozen=True)
class _Maximum:
    """Pre-activations of the largest of a window: (shared by examples, by positions, private)."""

    values: Array
    examples: Array
    positions: Array
    private: Array

    @classmethod
    def of(cls, z: Moments, n: float) -> _Maximum:
        """The largest of ``n`` elements that share what positions share."""
        nodes, weights = hermegauss(21)
        weights = weights / weights.sum()
        largest, private = _largest(n)
        common = np.sqrt(max(z.shared_examples - z.mean**2, 0.0)) * nodes
        own = np.sqrt(max(z.shared_positions - z.shared_examples, 0.0)) * nodes
        rest = np.sqrt(max(z.second - z.shared_positions, 0.0)) * largest
        values = z.mean + common[:, None, None] + own[:, None] + rest
        return cls(values, weights, weights, private)

    def mean(self, of_values: Array) -> float:
        """Expectation of a function of the values."""
        return float(self.examples @ (of_values @ self.private @ self.positions))

    def moments(self, activation: Activation) -> Moments:
        """Of the activation's outputs."""
        outputs = activation.function(self.values)
        by_position = outputs @ self.private
        by_example = by_position @ self.positions
        return Moments(
            float(self.examples @ by_example),
            self.mean(outputs**2),
            float(self.examples @ by_example**2),
            float(self.examples @ (by_position**2 @ self.positions)),
        )


def _maximum(step: Step) -> Moments:
    activation, z = _source(step)
    return _Maximum.of(z, float(_counts(step).mean())).moments(activation)


def passed_by_maximum(step: Step) -> float | None:
    """E[φ′²] where only the largest of each window gets a gradient; None if no maximum follows.

    The largest pre-activations are the likeliest to be in φ's open part, so behind ReLU nearly
    all of the gradient passes rather than half.
    """
    users = step.graph.users(step.node.name)
    if not users or any(not user.op.startswith(_MAXIMA) for user in users):
        return None
    pool = Step(step.graph, users[0], step.known)
    activation, z = _source(pool)
    if activation is not step.node.activation:
        return None
    largest = _Maximum.of(z, float(_counts(pool).mean()))
    return largest.mean(activation.derivative(largest.values) ** 2)


def _maximum_back(step: Step, cotangent: float) -> Cotangents:
    return {
        step.name("input"): cotangent * prod(step.node.shape) / max(prod(step.shape("input")), 1)
    }


_MAXIMA = ("max_pool", "adaptive_max_pool")
register(
    *(f"{kind}max_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    *(f"max_pool{axes}d_with_indices" for axes in (2, 3)),
    forward=_maximum,
    backward=_maximum_back,
)
