"""Parameters that are no weights: biases zero, normalisation neutral, the rest left alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import prod

from evenflow.graph.graph import Graph, Parameter
from evenflow.planning.before import PRELU_SLOPE
from evenflow.planning.distributions import Constant, Distribution
from evenflow.planning.plan import Entry
from evenflow.planning.scaling import second_moment
from evenflow.planning.uses import Use

_NEUTRAL: Mapping[str, tuple[Distribution, str]] = {
    "scale": (Constant(1.0), "scale of a normalisation: neutral"),
    "shift": (Constant(0.0), "shift of a normalisation: neutral"),
    "bias": (Constant(0.0), "bias: zero, so that it moves no mean"),
    "slope": (Constant(PRELU_SLOPE), "slope of a PReLU: 0.25 (He et al. 2015)"),
}


def plain_entry(graph: Graph, parameter: Parameter, each: Sequence[Use]) -> Entry:
    """What becomes of a parameter that is no weight, read as ``each`` says."""
    roles = {use.role for use in each}
    if len(roles) == 1 and (found := _NEUTRAL.get(*roles)):
        return Entry(parameter.shape, *found)
    if roles:
        reader = graph.node(each[0].node)
        operation = reader.op if reader is not None else each[0].node
        why = f"left as found: read by {operation}, in no weight's role"
    elif graph.trace == "export":
        why = "left as found: no operation reads it"
    else:
        why = "left as found: no module that could be traced reads it"
    return Entry(parameter.shape, None, why)


def magnitude_entry(parameter: Parameter, use: Use, entries: Mapping[str, Entry]) -> Entry:
    """The length of each slice of a weight-normalised weight, whose directions are ``use.source``.

    A slice of n elements of variance v has length √(n v); what the direction's own size is does
    not matter.
    """
    direction = entries[use.source]
    if direction.distribution is None:
        return Entry(parameter.shape, None, f"left as found, as {use.source} is")
    n = prod(direction.shape) / max(prod(parameter.shape), 1)
    length = math.sqrt(n * second_moment(direction.distribution, direction.shape))
    why = (
        f"length of each {n:g} elements of {use.source}: √(n·Var W), which gives them its variance"
    )
    return Entry(parameter.shape, Constant(length), why)
