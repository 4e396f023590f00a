"""Execute: run a traced program on real tensors, with an observer at every operation.

The program reads the model's live parameters, so gradients flow to them; buffers are read from
copies, so running statistics stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from evenflow.torch.inputs import Call
from evenflow.torch.module_walk import replay
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import Trace

Observer = Callable[[str, Any], Any]
"""Called with an operation's name and its result; what it returns takes the result's place."""


def run(trace: Trace, parameters: ModelParameters, call: Call, observe: Observer) -> Any:
    """The model's own output (in its own structure) for ``call``."""
    program = trace.program
    if program is None:
        return replay(parameters.model, call, observe)
    values = list(_arguments(program, parameters, call))
    try:
        flat = _Observed(program.graph_module, observe).run(*values)
    except RuntimeError:
        call.run(parameters.model)  # what fake tensors let pass (a wrong dtype, say) is told here
        raise
    mutated = len(program.graph_signature.buffers_to_mutate)
    return pytree.tree_unflatten(list(flat)[mutated:], program.call_spec.out_spec)


class _Observed(torch.fx.Interpreter):
    """Forgets each value after its last use, as the interpreter does of itself."""

    def __init__(self, module: torch.fx.GraphModule, observe: Observer) -> None:
        super().__init__(module)
        self._observe = observe

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        return self._observe(n.name, value) if n.op == "call_function" else value


def _arguments(program: ExportedProgram, parameters: ModelParameters, call: Call) -> Iterator[Any]:
    """Values of the program's placeholders, in their order."""
    names = program.call_spec.in_spec.child(1).context or ()
    ordered = {name: call.kwargs[name] for name in names}
    given = iter(pytree.tree_leaves((call.args, ordered)))
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.PARAMETER and spec.target is not None:
            yield parameters.tensor(spec.target)
        elif spec.kind == InputKind.BUFFER and spec.target is not None:
            yield parameters.tensor(spec.target).detach().clone()
        elif spec.kind == InputKind.CONSTANT_TENSOR and spec.target is not None:
            yield program.constants[spec.target]
        else:
            yield next(given)
