"""Parameters that a plan must leave alone, and why."""

from __future__ import annotations

import torch
from evenflow.torch.apply import FILLABLE
from evenflow.torch.names import ModelParameters


def kept_parameters(parameters: ModelParameters) -> dict[str, str]:
    """Name → reason for every parameter that is left as found."""
    kept = {}
    for name in parameters.names:
        reason = _reason(parameters.tensor(name))
        if reason:
            kept[name] = reason
    return kept


def _reason(tensor: torch.Tensor) -> str:
    if tensor.numel() == 0:
        return "it has no elements"
    if tensor.is_complex():
        return "complex values have no real second moment to plan"
    if tensor.dtype not in FILLABLE:
        return f"{str(tensor.dtype).removeprefix('torch.')} values are quantised"
    if getattr(tensor, "_is_hf_initialized", False):
        return "Transformers marks it as already initialised"
    if not tensor.requires_grad:
        return "frozen (requires_grad is False)"
    return ""
