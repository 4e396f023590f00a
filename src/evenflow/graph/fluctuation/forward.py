"""Fluctuations of values, in execution order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import prod

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from evenflow.errors import ActivationError
from evenflow.graph.algebra.through import square_pairs, through
from evenflow.graph.fluctuation.fluctuation import Fluctuation
from evenflow.graph.fluctuation.known import Known
from evenflow.graph.fluctuation.scatter import (
    likely,
    mean_pair,
    mixed,
    not_normal,
    scatter,
    seen_alike,
    windows,
)
from evenflow.graph.fluctuation.slopes import by_rule, contracts, mixes, slope, sources, together
from evenflow.graph.graph import Node
from evenflow.graph.levels import Levels
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Step
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.graph.softmax.chance import steepness, units

_LARGE = 0.01
"""Variance of log above which an activation's curve counts and not its slope alone."""
_FIXED = Fluctuation(fixed=True)
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
COPIES = frozenset([*PARTS, "expand", "repeat", "tile", "embedding"])
"""Operations whose result is some of the numbers of one tensor."""
SUMS = ("mean", "sum", "avg_pool", "adaptive_avg_pool", "upsample", "interpolate", "cumsum")
"""Operations that add up numbers of one tensor."""


def forwards(known: Known) -> dict[str, Fluctuation]:
    """Of every value that has Moments. Inputs are as they are; parameters are drawn."""
    found = {
        name: _drawn(x) if name in known.graph.parameters else _FIXED
        for name, x in known.values.items()
        if known.graph.node(name) is None
    }
    for node in known.graph.nodes:
        if node.name in known.values:
            same = node.name in known.graph.values  # what the code alone makes is always the same
            found[node.name] = _FIXED if same else _of_node(known, node, found)
    return found


def _drawn(parameter: Moments) -> Fluctuation:
    own = scatter(parameter)
    if own:
        law = (parameter.kurtosis - 3) * (parameter.variance / parameter.second) ** 2
        own = max(own + law / prod(parameter.shape), 0.0)
    return Fluctuation(own=own, fixed=own == 0)


def _of_node(known: Known, node: Node, found: Mapping[str, Fluctuation]) -> Fluctuation:
    """As the operation makes it; where deviations lead its rule out of its range, as they came."""
    step = known.step(node)
    try:
        return _forward(known, step, found)
    except (ArithmeticError, ValueError, LookupError):
        return max((found[name] for name in sources(step, found)), key=lambda f: f.kernel)


def _forward(known: Known, step: Step, found: Mapping[str, Fluctuation]) -> Fluctuation:
    node, read = step.node, sources(step, found)
    if not contracts(step) and all(found[name].fixed for name in read):
        return _FIXED
    if node.op in ORDER_ONLY or (node.op in COPIES and len(read) == 1):
        return _copied(known, node, read[0], found[read[0]])
    if node.op == "activation" and node.activation is not None:
        return _activation(step, found[read[0]], known.levels.get(read[0]))
    base = step.known[node.name]
    if node.op not in RULES:  # nobody knows what it does to deviations: their mean
        slopes = dict.fromkeys(read, 1 / len(read))
    else:
        second = by_rule(step, base.second)
        slopes = {name: slope(step, name, second) for name in read}
    if mixes(step, found):
        value = next(name for name in read if not found[name].fixed)
        return _mixed(known, step, slopes, found, value)
    if contracts(step):
        return _contracted(known, step, slopes, found)
    if node.op == "scaled_dot_product_attention":
        return _mixed(known, step, slopes, found, step.name("value"))
    shift, kernel = together((slopes[name], found[name]) for name in read)
    chance = max(found[name].chance for name in read)
    lasting = max(found[name].lasting for name in read)
    if node.op in ("add", "sub"):  # what chance makes alike in one is not so in the other
        chance = sum(slopes[name] * found[name].chance for name in read)
        lasting = sum(slopes[name] * found[name].lasting for name in read)
    if node.op.startswith(SUMS) and base.shape != step.known[read[0]].shape:
        levels = known.levels.get(node.name)
        own = _summed(step, found[read[0]], base, levels)
        kernel += mixed(step.known[read[0]], base, chance - lasting, levels)
    else:
        own = _own(step, slopes, found)
    return Fluctuation(shift, kernel, own, min(chance, 1.0), min(lasting, 1.0))


def _copied(known: Known, node: Node, source: str, before: Fluctuation) -> Fluctuation:
    """Some of the numbers: fewer of them scatter more."""
    if node.op in ORDER_ONLY:
        return before
    x, part = known.values[source], known.values[node.name]
    whole = scatter(x, before.chance, known.levels.get(source))
    fewer = scatter(part, before.chance, known.levels.get(node.name)) - whole
    return replace(before, own=max(before.own + fewer * _peaked(before, whole), 0.0))


def _peaked(before: Fluctuation, normal: float) -> float:
    """How far single squares scatter, over those of normal values; a mean of them may do so less,
    where a normalisation holds it."""
    return max(before.own / normal, 1.0) if normal > 0 else 1.0


def _summed(step: Step, before: Fluctuation, after: Moments, levels: Levels | None) -> float:
    """Of means of several numbers. These are the more normal the more unlike the numbers are: what
    is left of a fourth cumulant is about what is left of the variance."""
    x = step.of("input")
    normal, own = scatter(x, before.chance), scatter(after, before.chance, levels)
    excess = before.own / normal - 1 if normal > 0 else 0.0
    terms = prod(x.shape) / max(prod(after.shape), 1) if step.node.op == "sum" else 1.0
    left = after.variance / x.variance / terms**2 if x.variance > 0 else 0.0
    return own * (1 + excess * min(left, 1.0))


def _contracted(
    known: Known, step: Step, slopes: Mapping[str, float], found: Mapping[str, Fluctuation]
) -> Fluctuation:
    given = {name: found[name].given() for name in slopes}
    shift, kernel = together((slopes[name], given[name]) for name in slopes)
    taps, groups = window_of(step)
    chance = lasting = 0.0
    for name, f in given.items():
        seen = seen_alike(step.known[name], taps, groups)
        chance = max(chance, f.chance / windows(taps) + seen)
        lasting = max(lasting, f.lasting / windows(taps) + (seen if f.fixed else 0.0))
    chance, lasting = min(chance, 1.0), min(lasting, 1.0)
    base = step.known[step.node.name]
    if step.node.op in _RECURRENT:  # no normal values: their squares scatter as if of mean zero
        base = replace(base, mean=0.0)
    own = scatter(base, chance, known.levels.get(step.node.name))
    own = max(own + not_normal(step, base, step.known.get(step.name("bias"))), 0.0)
    return Fluctuation(shift, kernel, own, chance, lasting)


def window_of(step: Step) -> tuple[tuple[int, ...], int]:
    """Taps of a convolution along each axis, and its groups."""
    if not step.node.op.startswith("conv"):
        return (), 1
    return step.shape("weight")[2:], int(step.number("groups", 1))


def _mixed(
    known: Known,
    step: Step,
    slopes: Mapping[str, float],
    found: Mapping[str, Fluctuation],
    value: str,
) -> Fluctuation:
    """A mean of values is as normal as they are, but fewer of its positions differ."""
    shift, kernel = together(
        (slopes[name], found[name] if name == value else found[name].given()) for name in slopes
    )
    before = found.get(value, _FIXED)
    base, levels = step.known[step.node.name], known.levels.get(step.node.name)
    kernel += mixed(step.of_value(value), base, before.chance - before.lasting, levels)
    own = scatter(base, before.chance, levels)
    return Fluctuation(shift, kernel, own, before.chance, before.lasting)


def _activation(step: Step, before: Fluctuation, levels: Levels | None) -> Fluctuation:
    z, curve = step.of("input"), step.node.activation
    assert curve is not None
    base = step.known[step.node.name].second
    own = likely(z, before.chance, lambda x: square_pairs(x, curve), levels) if base > 0 else 0.0
    steep = steepness(z, curve) ** 2
    after = replace(before, chance=before.chance * steep, lasting=before.lasting * steep, own=own)
    unmoved = by_rule(step, base)

    def log_ratio(deviation: float) -> float:
        moved = through(z.scaled(math.exp(deviation / 2)), curve)
        return math.log(max(moved.second, 1e-300) / unmoved)

    if before.kernel >= _LARGE and base > 0:
        with suppress(ActivationError):  # some deviations lead where its curve overflows
            shift, kernel = _through_curve(log_ratio, before)
            return replace(after, shift=shift, kernel=kernel)
    change = slope(step, step.name("input"), unmoved)
    return replace(after, shift=change * before.shift, kernel=change**2 * before.kernel)


def _through_curve(log_ratio: Callable[[float], float], before: Fluctuation) -> tuple[float, float]:
    """Mean and variance of a function of a Gaussian deviation."""
    nodes, weights = hermegauss(5)
    weights = weights / weights.sum()
    values = np.array([log_ratio(before.shift + math.sqrt(before.kernel) * t) for t in nodes])
    mean = float(weights @ values)
    return mean, float(weights @ (values - mean) ** 2)


def _own(step: Step, slopes: Mapping[str, float], found: Mapping[str, Fluctuation]) -> float:
    """Of an operation that mixes no units: what its operands bring along."""
    if step.node.op == "mul" and len(slopes) == 2 and any(found[name].fixed for name in slopes):
        return sum(_weighted(step, name, found[name]) for name in slopes)
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


def _weighted(step: Step, name: str, before: Fluctuation) -> float:
    """Of a tensor that is multiplied with numbers: those of unlike size leave fewer of it count."""
    others = [n for _, n in step.node.refs() if n != name and n in step.graph.values]
    squares = [np.square(step.graph.values[n].astype(np.float64)) for n in others]
    means = [float(each.mean()) for each in squares]
    ratios = [
        float(np.mean(each**2)) / mean**2
        for each, mean in zip(squares, means, strict=True)
        if mean > 0
    ]
    normal = 0.0 if before.fixed else scatter(step.known[name], before.chance)
    return before.own + normal * (prod(ratios) - 1) * _peaked(before, normal)


def _crossed(left: Moments, right: Moments, second: float) -> float:
    """Of 2·mean(x·y), x and y independent."""
    if second <= 0:
        return 0.0
    product = left.times(right)
    return mean_pair(product, 4 * product.pairs / max(second, 1e-300) ** 2)
