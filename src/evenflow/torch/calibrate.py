"""Calibrate: correct what finite width does to a plan, in one pass in execution order.

The plan's Derivation says which second moment each weight's output should have; the pass measures
what it has, rescales the weight by the root of the ratio, and goes on with the corrected output.
One pass serves every layer, so the work grows with depth and not with its square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from evenflow.errors import InputError
from evenflow.graph.graph import Graph, Ref
from evenflow.graph.propagate import propagate_forwards
from evenflow.planning.build import drawn_moments
from evenflow.planning.plan import Plan
from evenflow.planning.scaling import rescaled
from evenflow.planning.uses import Use, uses
from evenflow.torch.apply import write
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.preserve import preserved
from evenflow.torch.trace import Trace
from evenflow.torch.weights import input_moments, parameter_moments

_ROLES = ("linear", "conv", "conv_transpose", "bilinear")


def calibrate_(
    plan: Plan, trace: Trace, parameters: ModelParameters, call: Call, seed: int
) -> Plan:
    """Rescale the weights of an applied ``plan`` to its own second moments on ``call``.

    Returns the plan with the corrected distributions, so that applying it with ``seed`` gives the
    same weights again. Weights whose output the calculus cannot predict are left as planned.
    """
    graph = trace.graph
    call.require_values()
    weights = planned_moments(plan, graph, parameters)
    targets = propagate_forwards(graph, weights, input_moments(graph, call))
    watcher = _Calibration(
        plan,
        graph,
        parameters,
        seed,
        {n: m.second for n, m in targets.items()},
        _by_node(graph),
    )
    with preserved(parameters.model), torch.no_grad():
        run(trace, parameters, call, watcher.observe)
    return watcher.corrected()


def planned_moments(plan: Plan, graph: Graph, parameters: ModelParameters) -> dict[str, Any]:
    """Moments of all parameters once ``plan`` is applied; those left as found are measured."""
    return {**parameter_moments(graph, parameters), **drawn_moments(plan.entries)}


def _by_node(graph: Graph) -> dict[str, Use]:
    return {use.node: use for each in uses(graph).values() for use in each if use.role in _ROLES}


@dataclass
class _Calibration:
    plan: Plan
    graph: Graph
    parameters: ModelParameters
    seed: int
    targets: Mapping[str, float]
    weights: Mapping[str, Use]
    factors: dict[str, float] = field(default_factory=dict)

    def observe(self, name: str, value: Any) -> Any:
        use, target = self.weights.get(name), self.targets.get(name)
        if use is None or target is None or use.parameter in self.factors:
            return value
        if use.magnitude:  # weight norm: the parameter's own scale changes nothing
            return value
        entry = self.plan.entries[use.parameter]
        if entry.distribution is None or not self._unbiased(name):
            return value
        second = float(value.double().square().mean())
        if not math.isfinite(second):
            raise InputError(
                "calibration met a value that is not finite",
                where=name,
                remedy="look at the inputs for NaN or infinite values",
            )
        if second <= 0 or target <= 0:
            return value
        factor = math.sqrt(target / second)
        self.factors[use.parameter] = factor
        tensor = self.parameters.tensor(use.parameter)
        write(tensor, rescaled(entry.distribution, factor), self.seed, use.parameter)
        return value * factor

    def _unbiased(self, name: str) -> bool:
        """Whether the operation adds nothing to the weight's own product."""
        node = self.graph.node(name)
        added = node.arguments.get("input" if node.op == "addmm" else "bias") if node else None
        if not isinstance(added, Ref):
            return True
        bias = self.parameters.tensors.get(added.name)
        return bias is not None and not bool(bias.any())

    def corrected(self) -> Plan:
        entries = dict(self.plan.entries)
        for name, factor in self.factors.items():
            entry = entries[name]
            assert entry.distribution is not None
            entries[name] = replace(
                entry,
                distribution=rescaled(entry.distribution, factor),
                why=f"{entry.why}; calibrated ×{factor:.4f}",
            )
        return replace(self.plan, entries=entries)
