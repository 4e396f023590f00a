"""Fluctuation: how far a draw of the weights leads away from what is expected of all draws.

A layer of n units measures the second moment of what stands before it by n samples. Given that,
its own units are independent Gaussians, so the next layer does the same again: the logarithm of a
second moment does a random walk with depth. Two things are kept of each tensor:

- ``kernel``: the variance of log of the second moment *expected* of its units, given all before;
- ``own``: the relative variance of their mean square about that, κ/n for n units of kurtosis κ + 1,
  times the mean over all pairs of examples and positions of what such a pair has in common.

A weight turns both into the kernel of its output; an activation multiplies log deviations by its
q-slope, so that slopes above 1 let them grow, and where they are large its whole curve is used.
``shift`` is the mean of log: the typical draw lies below the mean of all, exp(shift + kernel/2) = 1
as long as everything is linear. ``chance`` is the mean square correlation that two examples have in
one draw beyond what they have in all: 1/n for each layer of n units. A mean over many examples has
little else to fluctuate by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph import pairs as pairing
from evenflow.graph.chance import steepness, units
from evenflow.graph.graph import Graph
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules import RULES, Step
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.graph.through import slope_pairs, slopes, square_pairs, through

Interval = tuple[float, float]

_QUANTILE = 1.6448536269514722
"""Of the standard normal: 5 % lie above."""
_STEP = 1e-3
"""Relative change of a second moment by which slopes are taken."""
_CALCULUS = 0.005
"""Relative error of the calculus itself, which counts where nothing scatters, behind a norm say."""
_FARTHEST = 300.0
"""Of the logarithm of a second moment: what is further away has no end."""
_LARGE = 0.01
"""Variance of log above which an activation's curve counts and not its slope alone."""
_PRODUCTS = ("linear", "conv", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum", "bilinear")
_CONTRACTIONS = (*_PRODUCTS, "lstm", "gru", "rnn")
"""Operations whose units are sums by weights of their own."""


@dataclass(frozen=True)
class Fluctuation:
    """Of the logarithm of one second moment, over draws of the weights."""

    shift: float = 0.0
    kernel: float = 0.0
    own: float = 0.0
    chance: float = 0.0

    def interval(self, moments: Moments) -> Interval:
        """5th and 95th percentile of the measured second moment: lognormal."""
        own = math.log1p(self.own)
        middle = self.shift - own / 2
        width = _QUANTILE * math.sqrt(self.kernel + own + _CALCULUS**2)
        low, high = (math.exp(min(end, _FARTHEST)) for end in (middle - width, middle + width))
        return moments.second * low, moments.second * high


def forwards(
    graph: Graph, known: Mapping[str, Moments], several: Mapping[str, tuple[Moments, ...]]
) -> dict[str, Fluctuation]:
    """Of every value that has Moments; inputs and parameters are as they are."""
    found = {name: Fluctuation() for name in known if graph.node(name) is None}
    for node in graph.nodes:
        if node.name in known:
            same = node.name in graph.values  # what the code alone makes is always the same
            step = Step(graph, node, known, several)
            found[node.name] = Fluctuation() if same else _forward_or_sources(step, found)
    return found


def _forward_or_sources(step: Step, found: Mapping[str, Fluctuation]) -> Fluctuation:
    """As the operation makes it; where deviations lead its rule out of its range, as they came."""
    try:
        return _forward(step, found)
    except (ArithmeticError, ValueError, LookupError):
        return max((found[name] for name in _sources(step, found)), key=lambda f: f.kernel)


def _forward(step: Step, found: Mapping[str, Fluctuation]) -> Fluctuation:
    node = step.node
    sources = _sources(step, found)
    if not sources:
        return Fluctuation()
    if node.op in ORDER_ONLY or node.op in PARTS:
        return found[sources[0]]
    if node.op == "activation" and node.activation is not None:
        return _activation(step, found[sources[0]])
    base = step.known[node.name]
    if node.op not in RULES:  # nobody knows what it does to deviations: their mean
        slopes = dict.fromkeys(sources, 1 / len(sources))
    else:
        by_rule = _by_rule(step, base.second)
        slopes = {name: _slope(step, name, by_rule) for name in sources}
    if node.op.startswith(_CONTRACTIONS):
        return _contracted(
            base, step.known, slopes, {name: _given(found[name]) for name in sources}
        )
    shift, kernel = _together(slopes, found)
    chance = max(found[name].chance for name in sources)
    return Fluctuation(shift, kernel, _own(step, slopes, found), chance)


def _sources(step: Step, found: Mapping[str, Fluctuation]) -> list[str]:
    """Values that the operation reads and that fluctuate, once each."""
    parameters = step.graph.parameters
    names = dict.fromkeys(name for _, name in step.node.refs())
    return [n for n in names if n in found and n not in parameters and n in step.known]


def _slope(step: Step, name: str, second: float) -> float:
    """d log q' / d log q of one operand, the others held."""
    if second <= 0:
        return 0.0
    factor = math.sqrt(1 + _STEP)
    moved = replace(step, known={**_few(step), name: step.known[name].scaled(factor)})
    try:
        result = RULES[step.node.op].forward(moved)
    except (NoRuleError, ActivationError, KeyError):
        return 1.0
    first = result[0] if isinstance(result, tuple) else result
    return math.log(max(first.second, 1e-300) / second) / math.log1p(_STEP)


def _by_rule(step: Step, second: float) -> float:
    """The second moment as the rule finds it from the operands alone, without what levels or
    weights that they have in common make of it."""
    with suppress(NoRuleError, ActivationError, KeyError):
        result = RULES[step.node.op].forward(replace(step, known=_few(step)))
        return (result[0] if isinstance(result, tuple) else result).second
    return second


def _few(step: Step) -> dict[str, Moments]:
    """The operands alone, so that a changed one does not copy everything that is known."""
    return {name: step.known[name] for _, name in step.node.refs() if name in step.known}


def _given(f: Fluctuation) -> Fluctuation:
    """What is random for all that comes later: the units as they were drawn."""
    own = math.log1p(f.own)
    return Fluctuation(f.shift - own / 2, f.kernel + own, chance=f.chance)


def _together(slopes: Mapping[str, float], found: Mapping[str, Fluctuation]) -> tuple[float, float]:
    """Shift and variance of a sum of deviations that share their past, and so go together."""
    shift = sum(slope * found[name].shift for name, slope in slopes.items())
    width = sum(abs(slope) * math.sqrt(found[name].kernel) for name, slope in slopes.items())
    return shift, width**2


def _contracted(
    base: Moments,
    known: Mapping[str, Moments],
    slopes: Mapping[str, float],
    given: Mapping[str, Fluctuation],
) -> Fluctuation:
    shift, kernel = _together(slopes, given)
    chance = max(given[name].chance + 1 / units(known[name]) for name in given)
    return Fluctuation(shift, kernel, 2 * _alike(base, chance), min(chance, 1.0))


def _activation(step: Step, before: Fluctuation) -> Fluctuation:
    z, curve = step.of("input"), step.node.activation
    assert curve is not None
    base = step.known[step.node.name].second
    own = _likely(z, before.chance, lambda pairs: square_pairs(pairs, curve)) if base > 0 else 0.0
    chance = before.chance * steepness(z, curve) ** 2

    unmoved = _by_rule(step, base)

    def log_ratio(deviation: float) -> float:
        moved = through(z.scaled(math.exp(deviation / 2)), curve)
        return math.log(max(moved.second, 1e-300) / unmoved)

    if before.kernel >= _LARGE and base > 0:
        with suppress(ActivationError):  # some deviations lead where its curve overflows
            return Fluctuation(*_through_curve(log_ratio, before), own, chance)
    slope = _slope(step, step.name("input"), unmoved)
    return Fluctuation(slope * before.shift, slope**2 * before.kernel, own, chance)


def _through_curve(log_ratio: Callable[[float], float], before: Fluctuation) -> tuple[float, float]:
    """Mean and variance of a function of a Gaussian deviation."""
    nodes, weights = hermegauss(5)
    weights = weights / weights.sum()
    values = np.array([log_ratio(before.shift + math.sqrt(before.kernel) * t) for t in nodes])
    mean = float(weights @ values)
    return mean, float(weights @ (values - mean) ** 2)


def _own(step: Step, slopes: Mapping[str, float], found: Mapping[str, Fluctuation]) -> float:
    """Of an operation that mixes no units: what its operands bring along."""
    if step.node.op == "mul" and len(slopes) == 2:
        n = units(step.known[step.node.name])
        first, second = (1 + found[name].own * n for name in slopes)
        return (first * second - 1) / n
    brought = sum(slope**2 * found[name].own for name, slope in slopes.items())
    if step.node.op in ("add", "sub") and len(slopes) == 2:
        left, right = (step.known[name] for name in slopes)
        if not (left.mean and right.mean):
            brought += _crossed(left, right, step.known[step.node.name].second)
    return brought


def _crossed(left: Moments, right: Moments, second: float) -> float:
    """Of 2·mean(x·y), x and y independent."""
    if second <= 0:
        return 0.0
    product = left.times(right)
    pairs = 4 * product.pairs / max(second, 1e-300) ** 2
    return _mean_pair(product, pairs)


def _alike(x: Moments, chance: float = 0.0) -> float:
    """Mean over pairs of examples and positions of their squared correlation, over n units."""
    if x.second <= 0:
        return 0.0
    return _likely(replace(x, mean=0.0), chance, lambda z: (z.pairs / z.second) ** 2)


def _likely(x: Moments, chance: float, of: Callable[[Moments], Array]) -> float:
    """Mean pair of what ``of`` makes of pairs that chance has moved, up as often as down."""
    if chance <= 0 or x.variance <= 0:
        return _mean_pair(x, of(x))
    told = np.broadcast_to(x.pairs, [max(length, 2) for length in x.pairs.shape])
    covariance = told - x.mean**2
    step = np.sqrt(chance * np.maximum(x.variance**2 - covariance**2, 0.0))
    step.flat[0] = 0.0
    up, down = (replace(x, pairs=told + sign * step) for sign in (1, -1))
    return (_mean_pair(up, of(up)) + _mean_pair(down, of(down))) / 2


def _mean_pair(x: Moments, pairs: Array) -> float:
    """Mean of ``pairs`` over all pairs of examples and positions of one unit, over n units."""
    atoms = [atom for axis in x.axes for atom in axis]
    found, n = np.broadcast_to(pairs, x.pairs.shape), 1.0
    for dim in reversed(range(len(atoms))):
        if atoms[dim].role == "units":
            found, n = np.take(found, 0, axis=dim), n * atoms[dim].size
        else:
            found = pairing.total(found, dim, atoms[dim].size) / float(atoms[dim].size) ** 2
    return float(found) / n


def backwards(
    graph: Graph,
    known: Mapping[str, Moments],
    gradients: Mapping[str, Moments],
    several: Mapping[str, tuple[Moments, ...]],
    ahead: Mapping[str, Fluctuation],
) -> dict[str, Fluctuation]:
    """Of the gradient of every value that has one; the cotangents at the outputs are given."""
    found: dict[str, Fluctuation] = {}
    for node in reversed(graph.nodes):
        if node.name not in gradients:
            continue
        arriving = [
            _arriving(Step(graph, user, known, several), node.name, gradients, found, ahead)
            for user in graph.users(node.name)
            if user.name in found
        ]
        if not arriving:  # an output: its cotangent is given
            found[node.name] = Fluctuation(own=2 * _alike(gradients[node.name]))
            continue
        total = sum(share for share, _ in arriving) or 1.0
        found[node.name] = Fluctuation(
            sum(share * f.shift for share, f in arriving) / total,
            (sum(share * math.sqrt(f.kernel) for share, f in arriving) / total) ** 2,
            sum((share / total) ** 2 * f.own for share, f in arriving),
            max(f.chance for _, f in arriving),
        )
    return found


def _arriving(
    step: Step,
    name: str,
    gradients: Mapping[str, Moments],
    found: Mapping[str, Fluctuation],
    ahead: Mapping[str, Fluctuation],
) -> tuple[float, Fluctuation]:
    """What one user sends back: its size, and how it fluctuates."""
    user = step.node
    after = found[user.name]
    base = _sent(step, name, gradients)
    if base is None or base <= 0:
        return gradients[name].second, after
    if user.op in ORDER_ONLY or user.op in PARTS or user.op in ("add", "sub"):
        return base, after
    contracts = user.op.startswith(_CONTRACTIONS)
    given = _given(after) if contracts else after
    kernel, shift = given.kernel, given.shift
    for operand in _sources(step, ahead):
        factor = math.sqrt(1 + _STEP)
        moved = replace(step, known={**_few(step), operand: step.known[operand].scaled(factor)})
        sent = _sent(moved, name, gradients)
        if sent is not None and sent > 0:
            slope = math.log(sent / base) / math.log1p(_STEP)
            before = _given(ahead[operand]) if contracts else ahead[operand]
            kernel += slope**2 * before.kernel
            shift += slope * before.shift
    chance = _chance_back(step, gradients, after)
    own = _own_back(step, name, gradients, after, ahead, chance)
    return base, Fluctuation(shift, kernel, own, chance)


def _chance_back(step: Step, gradients: Mapping[str, Moments], after: Fluctuation) -> float:
    """Of the gradient that one user sends back."""
    user = step.node
    if user.op.startswith(_CONTRACTIONS):
        return min(after.chance + 1 / units(gradients[user.name]), 1.0)
    if user.op == "activation" and user.activation is not None:
        z = step.of("input")
        sloped = replace(z, pairs=np.broadcast_to(slopes(z, user.activation), z.pairs.shape))
        if sloped.second <= 0:
            return 0.0
        return after.chance * (sloped.shared_examples / sloped.second) ** 2
    return after.chance


def _own_back(
    step: Step,
    name: str,
    gradients: Mapping[str, Moments],
    after: Fluctuation,
    ahead: Mapping[str, Fluctuation],
    chance: float,
) -> float:
    """Of the gradient that one user sends back, at the units that it arrives at."""
    user = step.node
    if user.op.startswith(_CONTRACTIONS):
        return 2 * _alike(gradients[name], chance)
    if user.op == "activation" and user.activation is not None:
        arriving, z = gradients[user.name], step.of("input")
        # δ and φ′(z) are independent: (1 + κ) of a product is the product of both.
        slope = replace(z, mean=0.0, pairs=1 + slope_pairs(z, user.activation))
        correlation = np.broadcast_to(arriving.pairs, [max(n, 2) for n in arriving.pairs.shape])
        square = (correlation / arriving.second) ** 2
        square = square + after.chance * (1 - square)
        product = replace(arriving, mean=0.0, pairs=1 + 2 * square).times(slope)
        return _mean_pair(product, product.pairs - 1)
    if user.op == "mul":
        others = [n for n in _sources(step, ahead) if n != name]
        return after.own + sum(ahead[n].own for n in others)
    return after.own


def _sent(step: Step, name: str, gradients: Mapping[str, Moments]) -> float | None:
    """Second moment of the gradient that the operation sends to one operand."""
    arriving: Any = gradients.get(step.node.name)
    if step.node.name in step.several or arriving is None:
        return None
    try:
        sent = RULES[step.node.op].backward(step, arriving).get(name)
    except (NoRuleError, ActivationError, KeyError):
        return None
    return sent.second if sent is not None else None
