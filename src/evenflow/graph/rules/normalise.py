"""Normalisation: take off a mean, divide by a standard deviation, then scale and shift.

Taking off the mean over some axes changes E[x·x′] of every pair by the mean over all pairs along
these axes; what is then left of an element alone is the variance to divide by. So batch norm takes
off what examples and positions of a channel have in common, layer norm what the units have.

Backwards a gradient passes times γ²/σ², without its own mean over those axes and without its part
along the normalised values. σ² is itself a mean over few elements, or over many that are alike:
E[1/σ²] is above 1/E[σ²], and follows from how alike they are (``algebra.spectrum``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra.layout import dims_of, gathered, reshaped
from evenflow.graph.algebra.spectrum import divided, mean_inverse
from evenflow.graph.algebra.through import leant
from evenflow.graph.laws.law import Law, summed_law
from evenflow.graph.laws.lean import Lean, of_term, turned
from evenflow.graph.moments import Moments, aligned
from evenflow.graph.rules.channels import scatter_beside, unlike_sizes
from evenflow.graph.rules.registry import Cotangents, Leans, Step, register

_SMALLEST = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""What torch adds to the variance of an RMS norm whose eps is None."""
_SAME = 1e-9
"""A variance below this share of the second moment is none."""
_BY_CHANNEL = ("batch_norm", "instance_norm")


def normalised(x: Moments, axes: tuple[int, ...], eps: float, *, centre: bool = True) -> Moments:
    """x over its standard deviation (its root mean square unless ``centre``) along ``axes``."""
    found = centred(x, axes) if centre else x
    divisor = _divisor(found, eps)
    unit = _flattened(found.scaled(divisor**-0.5), axes, eps / max(found.second, 1e-300))
    return replace(unit, spread=_norms_left(found, axes))


def normalised_back(
    x: Moments,
    cotangent: Moments,
    axes: tuple[int, ...],
    eps: float,
    *,
    centre: bool = True,
    products: Moments | None = None,
    scatters: float = 1.0,
) -> Moments:
    """Of the gradient with respect to x, given that with respect to its normalised values.

    ``products`` are those of gradient and normalised value, where the two are not independent;
    ``scatters`` is the share of σ²'s scatter by places that counts.
    """
    values = centred(x, axes) if centre else x
    divisor = _divisor(values, eps)
    length = values.second**-0.5 if values.second else 0.0
    unit = replace(values.scaled(length), spread=0.0)
    arrived = centred(cotangent, axes) if centre else cotangent
    along = mean_pairs(arrived.times(unit) if products is None else products, axes)
    left, units, found = aligned(arrived, unit)
    scale = max(values.second, 1e-300)
    over = (1 - scatters) / divisor + scatters * inverse(unit, axes, eps / scale) / scale
    certain = eps / divisor  # what eps adds does not fluctuate
    over *= 1 + _norms_taken(values, axes) * (1 - certain)  # E[1/q] of lognormal ones
    return Moments(0.0, (left - along.pairs * units) * over, found)


def inverse(unit: Moments, axes: tuple[int, ...], eps: float) -> float:
    """E[1/(σ² + eps)] of normalised values: σ² is a mean over few elements, or over many alike."""
    told = told_apart(unit)
    return mean_inverse(told.pairs[_within(unit, axes)], _sizes(unit, axes), eps)


def _flattened(unit: Moments, axes: tuple[int, ...], eps: float) -> Moments:
    """What elements that are normalised together have in common, where σ² fluctuates with it."""
    if not unit.second:
        return unit
    pairs, within = told_apart(unit).pairs.copy(), _within(unit, axes)
    before = pairs[within] / unit.second
    after = divided(before, _sizes(unit, axes), eps)
    if after is before:
        return unit
    pairs[within] = unit.second * after
    return replace(unit, pairs=pairs)


def _within(x: Moments, axes: tuple[int, ...]) -> tuple[slice | int, ...]:
    """Pairs of elements that differ along ``axes`` alone."""
    dims = [dim for axis in axes for dim in dims_of(x, axis)]
    return tuple(slice(None) if dim in dims else 0 for dim in range(x.pairs.ndim))


def _sizes(x: Moments, axes: tuple[int, ...]) -> list[int]:
    return [atom.size for axis in axes for atom in x.axes[axis]]


def _normalises(x: Moments, axes: tuple[int, ...], role: str) -> bool:
    return any(atom.role == role for axis in axes for atom in x.axes[axis])


def _norms_taken(x: Moments, axes: tuple[int, ...]) -> float:
    """The spread of the second moments that are divided by, where each position has its own. Those
    of whole examples are told as kinds of them (``graph.kinds``)."""
    whole = _normalises(x, axes, "examples") or _normalises(x, axes, "positions")
    return 0.0 if whole else x.spread


def _norms_left(x: Moments, axes: tuple[int, ...]) -> float:
    """The spread of normalised values."""
    return max((1 + x.spread) / (1 + _norms_taken(x, axes)) - 1, 0.0)


def centred(x: Moments, axes: tuple[int, ...]) -> Moments:
    """x less its mean over ``axes``."""
    common = mean_pairs(x, axes)
    pairs = told_apart(x).pairs
    return replace(x, mean=0.0, pairs=pairs - common.pairs)


def mean_pairs(x: Moments, axes: tuple[int, ...]) -> Moments:
    """E over all pairs of indices along ``axes``, which keep their dimensions at length 1."""
    pairs = x.pairs
    for axis in axes:
        for dim, atom in zip(dims_of(x, axis), x.axes[axis], strict=True):
            pairs = pairing.average(pairs, dim, atom.size)
    return replace(x, pairs=pairs)


def told_apart(x: Moments) -> Moments:
    """With same and different told apart along every axis."""
    return replace(x, pairs=np.broadcast_to(x.pairs, [max(n, 2) for n in x.pairs.shape]))


def _divisor(values: Moments, eps: float) -> float:
    divisor = values.second + eps
    if divisor <= 0:
        raise NoRuleError("a normalisation divides by a variance of zero")
    return divisor


@dataclass(frozen=True)
class _Norm:
    """One use of a normalisation: the tensor as it is normalised, and along which axes."""

    x: Moments
    axes: tuple[int, ...]
    affine: tuple[int, ...]
    """Shape that scale and shift are broadcast with."""
    centre: bool = True


def _layer(step: Step) -> _Norm:
    shape = step.node.arguments.get("normalized_shape")
    sizes = tuple(s for s in shape if isinstance(s, int)) if isinstance(shape, tuple) else ()
    rank = len(step.shape("input"))
    return _Norm(step.of("input"), tuple(range(rank - len(sizes), rank)), sizes)


def _mean_square(step: Step) -> _Norm:
    return replace(_layer(step), centre=False)


def _group(step: Step) -> _Norm:
    examples, channels, *places = step.shape("input")
    groups = int(step.number("num_groups"))
    split = reshaped(step.of("input"), (examples, groups, channels // groups, *places))
    return _Norm(split, tuple(range(2, len(split.axes))), (channels, *(1,) * len(places)))


def _by_channel(step: Step, *axes: int) -> _Norm:
    rank = len(step.shape("input"))
    channels = step.shape("input")[1]
    return _Norm(step.of("input"), (*axes, *range(2, rank)), (channels, *(1,) * max(rank - 2, 0)))


def _normalisation(operation: str, norm: Callable[[Step], _Norm]) -> None:
    def unit(step: Step) -> Moments:
        if _from_running(step):
            return _by_running(step, step.of("input"), shift=True)
        use = norm(step)
        found = normalised(use.x, use.axes, eps_of(step), centre=use.centre)
        return reshaped(found, step.shape("input"))

    def scale(step: Step) -> Moments:
        return _affine(step, "weight", norm) if step.has("weight") else Moments.constant(1.0)

    def forward(step: Step) -> Moments:
        found = unit(step)
        if step.has("weight"):
            found = found.times(_affine(step, "weight", norm))
        return found.plus(_affine(step, "bias", norm)) if step.has("bias") else found

    def law(step: Step) -> Law | None:
        """As before where all are scaled alike; the shifts of a bias are taken as normal."""
        gamma, shift = scale(step), step.of("bias") if step.has("bias") else None
        if gamma.variance > _SAME * gamma.second:
            return None
        own = abs(gamma.mean), step.of("input").scaled(gamma.mean).law
        return own[1] if shift is None else summed_law(own, (shift.deviation, shift.law))

    def lean(step: Step, cotangent: Moments) -> Lean | None:
        """On the values as they are before scale and shift; of a scale its size counts."""
        gamma, own = scale(step), cotangent.lean
        if own is None or not step.has("bias") or not step.of("bias").deviation:
            return turned(own, gamma.mean)
        size = math.copysign(math.sqrt(gamma.second), gamma.mean)
        result = step.of_value(step.node.name)
        return of_term(own, result.at_nodes, size * unit(step).at_nodes, step.of("bias").at_nodes)

    def backward(step: Step, cotangent: Moments) -> Cotangents:
        products = products_of(cotangent, unit(step), lean(step, cotangent))
        scaled, scaled_products = cotangent, products
        if step.has("weight"):
            weight = scale(step)
            scaled, scaled_products = cotangent.times(weight), products.times(weight)
        gradients = {step.name("input"): _to_input(step, scaled, scaled_products, norm)}
        for argument, each in (("weight", products), ("bias", cotangent)):
            if step.has(argument):
                own = gathered(each, _affine(step, argument, norm))
                gradients[step.name(argument)] = reshaped(own, step.shape(argument))
        return gradients

    def leans(step: Step, cotangent: Moments) -> Leans:
        gamma = scale(step)
        if cotangent.lean is None or gamma.variance > _SAME * gamma.second:
            return {}
        return {step.name("input"): lean(step, cotangent)}

    register(
        operation,
        forward=forward,
        backward=backward,
        law=law,
        leans=leans,
        by_channel=operation in _BY_CHANNEL,
    )


def _to_input(
    step: Step, scaled: Moments, products: Moments, norm: Callable[[Step], _Norm]
) -> Moments:
    if _from_running(step):
        return _by_running(step, scaled, shift=False)
    use = norm(step)
    arrived, met = (reshaped(each, use.x.shape) for each in (scaled, products))
    back = normalised_back(
        use.x,
        arrived,
        use.axes,
        eps_of(step),
        centre=use.centre,
        products=met,
        scatters=scatter_beside(step),
    )
    return reshaped(back, step.shape("input")).scaled(unlike_sizes(step) ** 0.5)


def products_of(cotangent: Moments, factor: Moments, lean: Lean | None) -> Moments:
    """δ·x, x a factor of the result (x̂ of a normalisation): independent but for how the gradient
    leans on x."""
    if lean is None:
        return cotangent.times(factor)
    pairs = leant(factor, factor.at_nodes, lean)
    return cotangent.times(replace(factor, mean=0.0, pairs=pairs, spread=0.0))


def batch_axes(step: Step) -> tuple[int, ...]:
    """The axes that a normalisation takes all examples together along; none if it does not."""
    if step.node.op not in ("batch_norm", "standardise") or _from_running(step):
        return ()
    x = step.of("input")
    by_hand = step.node.op == "standardise"
    axes = step.axes("dim") if by_hand else (0, *range(2, len(x.axes)))
    return axes if _normalises(x, axes, "examples") else ()


def _affine(step: Step, argument: str, norm: Callable[[Step], _Norm]) -> Moments:
    return reshaped(step.of(argument), norm(step).affine)


def eps_of(step: Step) -> float:
    """What is added to the variance."""
    return step.number("eps", _SMALLEST.get(step.node.dtype, 0.0))


def _from_running(step: Step) -> bool:
    """Whether statistics of earlier batches are used."""
    if step.node.op == "batch_norm":
        return step.has("running_var") and not step.number("training")
    return step.node.op == "instance_norm" and not step.number("use_input_stats")


def _by_running(step: Step, x: Moments, *, shift: bool) -> Moments:
    """By statistics of earlier batches: their means are what this batch's channels share, too."""
    divisor = step.of("running_var").mean + eps_of(step)
    if divisor <= 0:
        raise NoRuleError(f"{step.node.op!r} divides by a variance of zero")
    low = step.of("running_mean").second if shift else 0.0
    if low:
        x = replace(x, mean=0.0, pairs=np.maximum(x.pairs - low, 0.0))
    return x.scaled(divisor**-0.5)


_normalisation("batch_norm", lambda step: _by_channel(step, 0))
_normalisation("instance_norm", _by_channel)
_normalisation("layer_norm", _layer)
_normalisation("group_norm", _group)
_normalisation("rms_norm", _mean_square)
