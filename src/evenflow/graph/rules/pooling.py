"""Pooling and means over axes.

A mean of n elements that share s has second moment s + (q − s)/n. A maximum of n Gaussians with a
shared part is integrated with the density of the largest of n; an increasing activation in front
is taken inside, max φ(z) = φ(max z), because φ(z) itself is no longer Gaussian.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import norm

from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.theory.activations import Activation, find

Array = npt.NDArray[np.float64]


def _mean_of(x: Moments, n: int, shared: float) -> Moments:
    second = shared + max(x.second - shared, 0.0) / n
    examples = min(x.shared_examples, second)
    return Moments(x.mean, second, examples, max(min(x.shared_positions, second), examples))


def _window(step: Step) -> tuple[int, int]:
    """Elements in a pooling window, and the number of pooled axes."""
    axes = int("".join(c for c in step.node.op if c.isdigit()) or 2)
    if step.node.op.startswith("adaptive"):
        given, pooled = step.shape("input")[-axes:], step.node.shape[-axes:]
        return max(prod(given) // max(prod(pooled), 1), 1), axes
    return prod(step.numbers("kernel_size", axes)), axes


def _average(step: Step) -> Moments:
    x, (n, _) = step.of("input"), _window(step)
    return _mean_of(x, n, x.shared_positions)


def _average_back(step: Step, cotangent: float) -> Cotangents:
    # Each input is in (outputs · n / inputs) windows and gets 1/n of each one's gradient.
    n, axes = _window(step)
    windows = prod(step.node.shape[-axes:]) * n / prod(step.shape("input")[-axes:])
    return {step.name("input"): cotangent * windows / n**2}


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
    return _mean_of(x, _reduced(step), shared)


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
def _largest(n: int) -> tuple[Array, Array, Array, Array]:
    """Nodes and weights: a standard normal, and the largest of ``n`` of them."""
    shared, shared_weights = hermegauss(31)
    private = np.linspace(-9.0, 9.0, 721)
    density = n * norm.pdf(private) * norm.cdf(private) ** (n - 1)
    return shared, shared_weights / shared_weights.sum(), private, density / density.sum()


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


def _values(z: Moments, shared: float, n: int) -> tuple[Array, Array, Array]:
    """Pre-activations of the largest on a grid (shared × private), and the two sets of weights."""
    h, h_weights, t, t_weights = _largest(n)
    common = np.sqrt(max(shared - z.mean**2, 0.0))
    own = np.sqrt(max(z.second - shared, 0.0))
    return z.mean + common * h[:, None] + own * t[None, :], h_weights, t_weights


def _maximum(step: Step) -> Moments:
    n, _ = _window(step)
    activation, z = _source(step)

    def at(shared: float) -> tuple[float, float, float]:
        grid, outer, inner = _values(z, shared, n)
        values = activation.function(grid)
        means = values @ inner
        return float(outer @ means), float(outer @ (values**2 @ inner)), float(outer @ means**2)

    mean, second, positions = at(z.shared_positions)
    return Moments(mean, second, min(at(z.shared_examples)[2], positions), positions)


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
    grid, outer, inner = _values(z, z.shared_positions, _window(pool)[0])
    return float(outer @ (activation.derivative(grid) ** 2 @ inner))


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
