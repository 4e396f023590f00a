"""Propagate: Moments of every tensor forwards, of its gradient backwards, from the Graph alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from evenflow.errors import NoRuleError
from evenflow.graph.backward_pass import Backward
from evenflow.graph.fluctuation import (
    ERROR_BACK,
    Fluctuation,
    Interval,
    Known,
    backwards,
    forwards,
)
from evenflow.graph.forward_pass import FLOATS, Forward
from evenflow.graph.graph import Graph
from evenflow.graph.levels import Levels
from evenflow.graph.moments import Moments, roles_of
from evenflow.graph.numbers.constants import of_constants
from evenflow.graph.sampler import Sampler


@dataclass(frozen=True)
class Derivation:
    """What the calculus says about a Graph.

    A floating-point value missing from ``forward`` or ``backward`` has the reason in
    ``obstacles_forward`` or ``obstacles_backward``: the first operation without a rule that stands
    in its way. Indices and masks have no Moments and stand in nobody's way by themselves.
    """

    forward: Mapping[str, Moments]
    """Moments of every value: inputs, parameters and results, by name."""
    backward: Mapping[str, Moments]
    """Moments of the gradient with respect to every value that one flows to."""
    obstacles_forward: Mapping[str, str]
    obstacles_backward: Mapping[str, str]
    graph: Graph
    several: Mapping[str, tuple[Moments, ...]]
    """Moments of each result of the operations that have several."""
    sampled: Mapping[str, str]
    """Values that no rule derives, and that were sampled instead: name → operation and place."""
    levels_forward: Mapping[str, Levels]
    """How the positions of a value differ in size, where they do and a rule knows it."""
    levels_backward: Mapping[str, Levels]
    """The same of gradients."""

    @cached_property
    def interval_forward(self) -> Mapping[str, Interval]:
        """Between what the measured second moment of a value lies in 90 % of draws of the weights:
        the 5th and the 95th percentile."""
        return {name: f.interval(self.forward[name]) for name, f in self._fluctuations[0].items()}

    @cached_property
    def interval_backward(self) -> Mapping[str, Interval]:
        """The same of the second moments of gradients."""
        return {
            name: f.interval(self.backward[name], ERROR_BACK)
            for name, f in self._fluctuations[1].items()
        }

    @cached_property
    def _fluctuations(self) -> tuple[Mapping[str, Fluctuation], Mapping[str, Fluctuation]]:
        # What was sampled has no rule that says how it answers to a change.
        nodes = (
            replace(node, op="sampled", activation=None) if node.name in self.sampled else node
            for node in self.graph.nodes
        )
        graph = replace(self.graph, nodes=tuple(nodes))
        known = Known(
            graph,
            self.forward,
            self.several,
            self.backward,
            self.levels_forward,
            self.levels_backward,
        )
        ahead = forwards(known)
        return ahead, backwards(known, ahead)


def propagate(
    graph: Graph,
    parameters: Mapping[str, Moments],
    inputs: Mapping[str, Moments] | None = None,
    cotangents: Mapping[str, float] | None = None,
    *,
    sample: Sampler | None = None,
    strict: bool = False,
) -> Derivation:
    """Derive ``graph`` for parameters and inputs of given Moments.

    Floating-point inputs not given count as independent with mean 0 and second moment 1.
    ``cotangents`` are the second moments of the gradients that reach the outputs, independent in
    each element; 1 where none is given.

    ``sample`` stands in for the rule of every operation that has none, and for uses that its rule
    does not cover; without it such an operation is an obstacle. With ``strict`` either is an error:
    ``NoRuleError`` names the operation and its place.
    """
    forward = Forward(graph, _known(graph, parameters, inputs or {}), sample)
    forward.run()
    backward = Backward(forward, cotangents or {})
    backward.run()
    if strict:
        _require_rules(forward, backward)
    return Derivation(
        forward.known,
        backward.gradients,
        forward.blocked,
        backward.blocked,
        graph,
        forward.several,
        forward.sampled,
        forward.levels,
        backward.levels,
    )


def _require_rules(forward: Forward, backward: Backward) -> None:
    """Refuse what was not derived by rules alone."""
    for found in (forward.sampled, forward.blocked, backward.blocked):
        for reason in found.values():
            raise NoRuleError(
                f"no rule covers {reason}",
                remedy="derive without strict: it is then sampled where it can be, and marked so",
            )


def propagate_forwards(
    graph: Graph, parameters: Mapping[str, Moments], inputs: Mapping[str, Moments] | None = None
) -> Mapping[str, Moments]:
    """What ``propagate`` says of values, without the pass backwards."""
    forward = Forward(graph, _known(graph, parameters, inputs or {}), None)
    forward.run()
    return forward.known


def _known(
    graph: Graph, parameters: Mapping[str, Moments], inputs: Mapping[str, Moments]
) -> dict[str, Moments]:
    """What is told of a Graph's values, and what is known without being told."""
    unlike = {
        name: Moments.independent(shape=shape, roles=roles_of(tuple(shape)))
        for name, shape in graph.inputs.items()
        if graph.input_dtypes.get(name, "float32").startswith(FLOATS)
    }
    constants = {p.name: p.moments for p in graph.parameters.values() if p.moments is not None}
    folded = {
        name: array
        for name, array in graph.values.items()
        if array.dtype.kind in _read_as(graph, name)
        and (name not in parameters or _is_table(graph, name))
    }
    return unlike | constants | dict(inputs) | dict(parameters) | of_constants(folded)


_ARITHMETIC = ("add", "sub", "rsub", "mul", "div")


def _read_as(graph: Graph, name: str) -> str:
    """The kinds of numbers that count of a folded value: none where no operation reads it whose
    own result is not folded; integers where they are summed or multiplied with other values."""
    users = [user for user in graph.users(name) if user.name not in graph.values]
    if any(user.op in _ARITHMETIC and user.dtype.startswith(FLOATS) for user in users):
        return "fbiu"
    return "fb" if users or name in graph.outputs else ""


def _is_table(graph: Graph, name: str) -> bool:
    """Whether a parameter is a frozen table that is added or looked up, of positions say."""
    parameter, users = graph.parameters[name], graph.users(name)
    whole = sum(size > 1 for size in parameter.shape) > 1
    looked_up = all(user.op in (*_ARITHMETIC, "embedding", "slice", "cat") for user in users)
    return whole and not parameter.trainable and looked_up
