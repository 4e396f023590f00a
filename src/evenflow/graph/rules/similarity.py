"""Cosine similarity: the product of two vectors, each over its length."""

from __future__ import annotations

from dataclasses import replace

from evenflow.graph.algebra.layout import expanded, reshaped, summed
from evenflow.graph.cross.forwards import Cross, product
from evenflow.graph.moments import Moments
from evenflow.graph.rules.normalise import eps_of, normalised, normalised_back
from evenflow.graph.rules.registry import Cotangents, Step, register


def _axis(step: Step) -> int:
    return int(step.number("dim", 1.0)) % max(len(step.shape("x1")), 1)


def _unit(step: Step, argument: str) -> Moments:
    """Each element over the length of its vector."""
    axis = _axis(step)
    count = step.shape(argument)[axis]
    found = normalised(step.of(argument), (axis,), eps_of(step) ** 2 / count, centre=False)
    return found.scaled(count**-0.5)


def _cosine(step: Step) -> Moments:
    x, y = _unit(step, "x1"), _unit(step, "x2")
    crossed = Cross(step).of(step.name("x1"), step.name("x2")) if step.graph.reused else None
    whole = x.times(y)
    if crossed is not None and crossed.pairs.shape == whole.pairs.shape:
        size = (x.second * y.second / (step.of("x1").second * step.of("x2").second)) ** 0.5
        whole = product(x, y, replace(crossed, pairs=size * crossed.pairs))
    return reshaped(summed(whole, (_axis(step),), keep=False), step.node.shape)


def _cosine_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = _axis(step)
    shape = step.shape("x1")
    kept = reshaped(cotangent, [1 if a == axis else n for a, n in enumerate(shape)])
    arrived = expanded(kept, shape).scaled(shape[axis] ** -0.5)
    return step.total(
        *(
            (
                argument,
                normalised_back(
                    step.of(argument),
                    arrived.times(_unit(step, other)),
                    (axis,),
                    eps_of(step) ** 2 / shape[axis],
                    centre=False,
                ),
            )
            for argument, other in (("x1", "x2"), ("x2", "x1"))
        )
    )


register("cosine_similarity", forward=_cosine, backward=_cosine_back)
