"""Trace: an unmodified PyTorch model becomes a Graph.

``torch.export`` runs the model once on fake tensors (no data, no memory) and hands back its
operations with the parameters' names, the modules they stand in and the user's source lines.
What cannot be exported is walked module by module instead, and that is said aloud.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.export import ExportedProgram

from evenflow.errors import InputError
from evenflow.graph.graph import Graph, Ref
from evenflow.graph.simplify.fuse import fuse
from evenflow.graph.simplify.spectral import spectral
from evenflow.graph.simplify.standardise import standardise
from evenflow.graph.simplify.written_attention import fused as with_fused_attention
from evenflow.graph.simplify.written_parts import joined_writes
from evenflow.torch.inputs import Call
from evenflow.torch.module_walk import walk
from evenflow.torch.names import ModelParameters
from evenflow.torch.program import export, read
from evenflow.torch.shards import require_whole


@dataclass(frozen=True)
class Trace:
    """A Graph and, where the model could be exported, the program that it was read from."""

    graph: Graph
    program: ExportedProgram | None
    """None after a module walk."""


def trace(call: Call, parameters: ModelParameters, known: Call | None = None) -> Trace:
    """The Graph of the model called as ``call`` says; the model is left as it was found.

    ``known`` is the same call with the indices and masks whose numbers count, where ``call`` holds
    stand-ins for them; those on the meta device have none.
    """
    model = parameters.model
    if not parameters.names:
        raise InputError(
            "the model has no parameters, so there is nothing to initialise or check",
            where=type(model).__name__,
        )
    require_whole(model, "traced")
    with torch.compiler.set_stance("force_eager"):
        program, reason = export(model, call)
        if program is not None:
            graph = read(program, parameters, known or call)
            _require_types(graph, model)
            graph = with_fused_attention(spectral(joined_writes(graph)))
            return Trace(fuse(standardise(graph)), program)
        call.run(model)  # a fault of the user's own (a wrong shape, say) is told as such
        return Trace(fuse(standardise(walk(model, call, parameters, reason))), None)


_PRODUCTS = {
    "linear": ("input", "weight"),
    "matmul": ("input", "other"),
    "mm": ("input", "mat2"),
    "bmm": ("input", "mat2"),
    "addmm": ("mat1", "mat2"),
    **{f"conv{axes}d": ("input", "weight") for axes in (1, 2, 3)},
}


def _require_types(graph: Graph, model: torch.nn.Module) -> None:
    """Refuse products of unlike types, which fake tensors let pass and real ones do not."""
    for node in graph.nodes:
        names = [node.arguments.get(argument) for argument in _PRODUCTS.get(node.op, ())]
        types = [graph.dtype(value.name) for value in names if isinstance(value, Ref)]
        if len(set(types)) > 1:
            raise InputError(
                f"{node.layer or node.name} gets {types[0]} values where its weight is {types[1]}",
                where=type(model).__name__,
                remedy=f"pass inputs that can be multiplied with {types[1]} weights",
            )
