"""Comparisons: masks that follow from the data, as the probability that they hold.

x > y holds where x − y is positive: a step of a Gaussian tensor, for pairs as well. A mask is taken
as independent of what it is later applied to; where it is a function of the very same tensor,
``simplify.fuse`` has made one activation of both.
"""

from __future__ import annotations

from evenflow.graph.algebra.through import through
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Step, no_gradient, register
from evenflow.graph.simplify.pointwise import COMPARISONS, Pointwise, activation_of, compose


def _holds(step: Step) -> Moments:
    difference = step.of("input").plus(step.of("other").scaled(-1))
    z = Pointwise("z", "x", lambda x: (x, x * 0 + 1), affine=True)
    function = compose(Node("mask", step.node.op, {}, ()), {"input": z, "other": 0.0})
    assert function is not None
    return through(difference, activation_of(function))


register(*COMPARISONS, forward=_holds, backward=no_gradient)
