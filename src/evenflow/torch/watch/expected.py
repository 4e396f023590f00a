"""What the first sample should look like, by the Derivation."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from evenflow.sampling.contract import canonical_name
from evenflow.torch.derive import derive
from evenflow.torch.preserve import preserved


def expected_second_moments(model: nn.Module, inputs: Any) -> dict[str, float]:
    """Second moments of modules' outputs by their canonical names, derived from the weights as
    they are; modules whose output is not derived are left out.
    """
    with preserved(model):
        derivation = derive(model, inputs).derivation
    found = {}
    for node in derivation.graph.nodes:  # the last operation of a module makes its output
        if node.layer and node.dtype.startswith(("float", "bfloat")):
            moments = derivation.forward.get(node.name)
            found[canonical_name(node.layer)] = math.nan if moments is None else moments.second
    return {name: float(q) for name, q in found.items() if math.isfinite(q)}
