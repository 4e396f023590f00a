"""Trace a model as ``ef.plan`` does, for tests that look at the Graph itself."""

from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import Trace, trace


def traced(model, *args, **kwargs) -> tuple[Trace, ModelParameters]:
    parameters = ModelParameters(model)
    return trace(Call(args, kwargs), parameters), parameters


def graph_of(model, *args, **kwargs):
    """The Graph of ``model`` called with these arguments; it must have been exported."""
    found, _ = traced(model, *args, **kwargs)
    assert found.graph.trace == "export"
    return found.graph
