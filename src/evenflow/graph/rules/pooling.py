"""Pooling and means over axes.

A mean is a fixed linear map along each axis. A maximum of n Gaussians with a shared part is
integrated with the density of the largest of n; an increasing activation in front is taken inside,
max φ(z) = φ(max z), because φ(z) itself is no longer Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss, hermeval

from evenflow.graph.algebra.layout import averaged, expanded, reshaped, summed
from evenflow.graph.algebra.resample import resampled
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.laws.law import Law, hermite, sampled, underlying
from evenflow.graph.laws.lean import Lean, Profile
from evenflow.graph.moments import Moments
from evenflow.graph.rules.normalise import told_apart
from evenflow.graph.rules.registry import Cotangents, Leans, Step, register
from evenflow.theory.activations import Activation, find
from evenflow.theory.normal import distribution

Array = npt.NDArray[np.float64]

_DEGREES = 24
"""Of a maximum as a function of what its window shares, which is smooth."""


def _pooled_axes(step: Step) -> int:
    return int("".join(c for c in step.node.op if c.isdigit()))


def windows_of(step: Step) -> list[Reads]:
    """For each pooled axis what the windows hold; each element weighs 1 over what an average
    divides by."""
    axes = _pooled_axes(step)
    ends = step.node.shape[-axes:], step.shape("input")[-axes:]
    if step.node.op.startswith("adaptive"):
        return [adaptive_reads(*end) for end in zip(*ends, strict=True)]
    kernel = step.numbers("kernel_size", axes)
    stride = step.numbers("stride", axes) if step.node.arguments.get("stride") else kernel
    padding, dilation = step.numbers("padding", axes, 0), step.numbers("dilation", axes)
    counted = padding if step.number("count_include_pad") else (0,) * axes
    each = zip(*ends, kernel, stride, padding, dilation, counted, strict=True)
    return [window_reads(*geometry) for geometry in each]


@lru_cache(maxsize=1024)
def window_reads(
    small: int, large: int, kernel: int, stride: int, padding: int, dilation: int, counted: int
) -> Reads:
    """Windows along one axis; ``counted`` positions of padding on either side are divided by."""
    source = np.arange(small)[:, None] * stride - padding + np.arange(kernel) * dilation
    inside = (source >= -counted) & (source < large + counted)
    return Reads(source, large, 1 / inside.sum(axis=1, keepdims=True) * np.ones(kernel))


@lru_cache(maxsize=1024)
def adaptive_reads(small: int, large: int) -> Reads:
    """Window o of ``small`` goes from ⌊o·large/small⌋ to ⌈(o + 1)·large/small⌉."""
    edges = np.arange(small)
    first, end = edges * large // small, -(-(edges + 1) * large // small)
    source = first[:, None] + np.arange(int((end - first).max()))
    inside = source < end[:, None]
    return Reads(np.where(inside, source, -1), large, inside / (end - first)[:, None])


def _average(step: Step) -> Moments:
    return _averaged(step, step.of("input"), windows_of(step))


def _averaged(step: Step, x: Moments, windows: list[Reads], *, scatter: bool = False) -> Moments:
    first = len(x.axes) - len(windows)
    for axis, window in enumerate(windows, first):
        x = resampled(x, axis, window, scatter=scatter)
    return x.scaled(_override(step, windows))


def _override(step: Step, windows: list[Reads]) -> float:
    """What a divisor of the user's own makes of a mean over the window."""
    if not step.node.arguments.get("divisor_override"):
        return 1.0
    elements = prod(window.taps for window in windows)
    return float(elements / step.number("divisor_override"))


register(
    *(f"{kind}avg_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    forward=_average,
    backward=lambda step, cotangent: {
        step.name("input"): _averaged(step, cotangent, windows_of(step), scatter=True)
    },
    by_channel=True,
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


def increasing_source(step: Step, argument: str = "input") -> tuple[Activation, Moments]:
    """The increasing activation in front of the maximum and its own input; else the identity."""
    producer = step.graph.node(step.name(argument))
    if producer is not None and producer.activation is not None:
        activation = producer.activation
        grid = np.linspace(-6.0, 6.0, 241)
        if bool(np.all(activation.derivative(grid) >= 0)):
            inner = replace(step, node=producer)
            return activation, inner.of("input")
    return find("linear"), step.of(argument)


class Maximum:
    """The largest of a window of n Gaussians: what they share, plus the largest of what each has
    alone. Two windows are as alike as what they share: a series in its correlation (Mehler).
    Elements of another law are rising functions of such Gaussians."""

    def __init__(self, z: Moments, windows: list[Reads], activation: Activation) -> None:
        first = len(z.axes) - len(windows)
        self.n = n = max(prod(_elements(window) for window in windows), 1.0)
        self.means = z
        for axis, window in enumerate(windows, first):
            self.means = resampled(self.means, axis, _plain(window))
        among = (n * self.means.second - z.second) / (n - 1) if n > 1 else z.second
        shared = min(max(among - z.mean**2, 0.0), z.variance) / max(z.variance, 1e-300)
        self.z, self.activation = z, activation
        self.alike = float(underlying(np.array(shared), z.law, z.law))
        largest, self.private = _largest(n)
        self.nodes, common = hermegauss(41)
        self.common = common / common.sum()
        t = math.sqrt(self.alike) * self.nodes[:, None] + math.sqrt(1 - self.alike) * largest
        normal = z.mean + z.deviation * t
        self.values = normal if z.law is None else np.interp(t, hermite()[0], z.at_nodes)

    def mean(self, of_values: Array) -> float:
        """Expectation of a function of the values."""
        return float(self.common @ (of_values @ self.private))

    def pairs(self, of_values: Array, like: Moments) -> Array:
        """E[f(M)f(M′)] of two windows, by where they differ: what they share is as alike as
        elements of ``like`` are."""
        given_shared = of_values @ self.private
        between = (like.pairs - like.mean**2) / max(self.z.variance, 1e-300)
        between = underlying(between, self.z.law, self.z.law)
        correlation = np.clip(between / max(self.alike, 1e-300), -1.0, 1.0)
        found, term = np.zeros_like(correlation), np.ones_like(correlation)
        for degree in range(_DEGREES):
            basis = hermeval(self.nodes, np.eye(degree + 1)[-1]) / math.sqrt(math.factorial(degree))
            found += (self.common @ (given_shared * basis)) ** 2 * term
            term = term * correlation
        found.flat[0] = self.mean(of_values**2)
        return found


def _elements(window: Reads) -> float:
    """Elements inside a window, on average over the windows."""
    return float((window.weight > 0).sum(axis=1).mean())


@lru_cache(maxsize=1024)
def _plain(window: Reads) -> Reads:
    """The same windows as means over what is inside them."""
    inside = window.weight > 0
    source = np.where(inside, window.source, -1)
    return Reads(source, window.large, inside / np.maximum(inside.sum(axis=1), 1)[:, None])


def maximum(z: Moments, windows: list[Reads], activation: Activation) -> Moments:
    """Of φ of the largest of each window."""
    found = Maximum(z, windows, activation)
    outputs = activation.function(found.values)
    pairs = found.pairs(outputs, found.means)
    return replace(found.means, mean=found.mean(outputs), pairs=pairs, spread=z.spread)


def _maximum(step: Step) -> Moments:
    activation, z = increasing_source(step)
    return maximum(z, windows_of(step), activation)


def _law_of_maximum(step: Step) -> Law:
    def make() -> Array:
        activation, z = increasing_source(step)
        found = Maximum(z, windows_of(step), activation)
        return sampled(activation.function(found.values), np.outer(found.common, found.private))

    return Law(make)


def _leans_of_maximum(step: Step, _cotangent: Moments) -> Leans:
    """The largest of each window gets all of its gradient. An increasing activation in front of the
    pool has the nodes of its input."""

    def profile() -> Profile:
        activation, z = increasing_source(step)
        found = Maximum(z, windows_of(step), activation)
        chance = chance_to_be_largest(found.n, found.alike)
        return chance, chance

    return {step.name("input"): Lean(profile)}


def chance_to_be_largest(n: float, alike: float) -> Array:
    """Of one of n normal numbers of this correlation, at the nodes of its own law: given what they
    share, the n − 1 others are smaller."""
    nodes, weights = hermegauss(41)
    others = math.sqrt(1 - alike) * hermite()[0][:, None] - math.sqrt(alike) * nodes
    return np.asarray(distribution(others) ** (n - 1) @ (weights / weights.sum()))


def to_largest(cotangent: Moments, windows: list[Reads], share: float) -> Moments:
    """One element of each window gets its gradient, any of them as likely: two elements both do as
    often as different windows hold them, or as windows of different units do; ``share`` is that
    of the elements that get one."""
    plain, arrived = [_plain(window) for window in windows], told_apart(cotangent)
    alone = np.zeros_like(arrived.pairs)
    alone.flat[0] = cotangent.second
    found, within = (_spread_out(each, plain) for each in (arrived, replace(arrived, pairs=alone)))
    pairs = found.pairs - within.pairs
    pairs.flat[0] = share * cotangent.second
    return replace(found, pairs=pairs)


def _maximum_back(step: Step, cotangent: Moments) -> Cotangents:
    share = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return {step.name("input"): to_largest(cotangent, windows_of(step), share)}


def _spread_out(x: Moments, windows: list[Reads]) -> Moments:
    """Of a gradient that is spread over the elements of each window."""
    for axis, window in enumerate(windows, len(x.axes) - len(windows)):
        x = resampled(x, axis, window, scatter=True)
    return x


_MAXIMA = ("max_pool", "adaptive_max_pool")
register(
    *(f"{kind}max_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)),
    *(f"max_pool{axes}d_with_indices" for axes in (2, 3)),
    forward=_maximum,
    backward=_maximum_back,
    law=_law_of_maximum,
    leans=_leans_of_maximum,
    by_channel=True,
)
