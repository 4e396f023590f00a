"""Derive: Moments of every tensor of a model, forwards and backwards, without running it."""

from __future__ import annotations

from typing import Any

import torch

from evenflow.graph.propagate import Derivation, propagate
from evenflow.planning.plan import Plan
from evenflow.torch.calibrate import planned_moments
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import Trace, trace
from evenflow.torch.weights import input_moments, parameter_moments


def derive(model: torch.nn.Module, inputs: Any, plan: Plan | None = None) -> Derivation:
    """Derive ``model`` called with ``inputs``: as its weights are, or as ``plan`` would draw them.

    ``inputs`` is a tensor, a tuple (positional) or a mapping (keywords); of meta tensors only the
    shapes count, and they are taken as standard normal.
    """
    parameters = ModelParameters(model)
    call = Call.of(inputs).on_device_of(model)
    return derive_traced(trace(call, parameters), parameters, call, plan)


def derive_traced(
    traced: Trace, parameters: ModelParameters, call: Call, plan: Plan | None = None
) -> Derivation:
    """Derive a model that has been traced."""
    graph = traced.graph
    weights = (
        parameter_moments(graph, parameters)
        if plan is None
        else planned_moments(plan, graph, parameters)
    )
    return propagate(graph, weights, input_moments(graph, call))
