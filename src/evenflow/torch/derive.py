"""Derive: Moments of every tensor of a model, forwards and backwards, without running it."""

from __future__ import annotations

from typing import Any

import torch

from evenflow._version import __version__
from evenflow.graph.propagate import Derivation, propagate
from evenflow.planning.outlook import outlook
from evenflow.planning.plan import Plan
from evenflow.planning.residual import residual_sums
from evenflow.planning.stages import stages
from evenflow.planning.uses import uses
from evenflow.report.derivation.report import DerivationReport
from evenflow.torch.api import plan as make_plan
from evenflow.torch.calibrate import planned_moments
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.sampling import sampling
from evenflow.torch.trace import Trace, trace
from evenflow.torch.weights import input_moments, parameter_moments


def derive(
    model: torch.nn.Module, inputs: Any, plan: Plan | str | None = None, *, strict: bool = False
) -> DerivationReport:
    """Derive ``model`` called with ``inputs``: as its weights are, or as ``plan`` would draw them.

    ``inputs`` is a tensor, a tuple (positional) or a mapping (keywords). Real inputs are measured;
    of meta tensors only the shapes count, and they are taken as standard normal. ``plan`` may be
    the name of a scheme. Weights on the meta device count as their modules' own initialisers would
    draw them. Gradients start from an independent unit cotangent at every element of every output.

    The result has ``forward`` and ``backward``, the Moments of every value and of its gradient by
    name, ``interval_forward`` and ``interval_backward``, where 90 % of draws of the weights lie,
    and ``graph``; ``print`` shows it as a table by module, ``save`` writes a page. An operation
    without a rule is sampled on small tensors, and named in ``sampled``; with ``strict`` it raises
    ``NoRuleError`` instead.
    """
    if isinstance(plan, str):
        plan = make_plan(model, inputs, scheme=plan)
    parameters = ModelParameters(model)
    given = Call.of(inputs)
    call = given.on_device_of(model)
    traced = trace(call, parameters, known=given)
    derivation = derive_traced(traced, parameters, given, plan, strict=strict)
    real = not any(tensor.is_meta for tensor in given.tensors().values())
    return DerivationReport(
        title=type(model).__name__,
        derivation=derivation,
        notes=_notes(derivation, plan, real=real),
        versions={"evenflow": __version__, "torch": torch.__version__},
    )


def _notes(derivation: Derivation, plan: Plan | None, *, real: bool) -> tuple[str, ...]:
    """What a plan says of itself, for standard normal inputs, and what these inputs change."""
    graph = derivation.graph
    readings = uses(graph)
    said = outlook(graph, derivation, stages(graph, readings, residual_sums(graph, readings)))
    if plan is None:
        return said
    return (*plan.notes, *(f"on these inputs: {note}" for note in said if real))


def derive_traced(
    traced: Trace,
    parameters: ModelParameters,
    call: Call,
    plan: Plan | None = None,
    *,
    strict: bool = False,
) -> Derivation:
    """Derive a model that has been traced."""
    graph = traced.graph
    weights = (
        parameter_moments(graph, parameters)
        if plan is None
        else planned_moments(plan, graph, parameters)
    )
    inputs = input_moments(graph, call)
    sampler = sampling(tensors=parameters.values)
    return propagate(graph, weights, inputs, sample=sampler, strict=strict)
