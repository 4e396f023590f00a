"""Parameters that a plan must leave alone, and why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.utils import parametrize

from evenflow.torch.apply import FILLABLE, as_array, repeats_memory
from evenflow.torch.names import ModelParameters


def kept_parameters(parameters: ModelParameters) -> dict[str, str]:
    """Name → reason for every parameter that is left as found."""
    kept = dict(_parametrised(parameters))
    for name in parameters.names:
        if reason := _reason(parameters.tensor(name)):
            kept[name] = reason
    return dict(_overlapping(parameters, kept)) | kept


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
    if repeats_memory(tensor):
        return "several of its elements lie in one place of memory (it was expanded)"
    return ""


def _parametrised(parameters: ModelParameters) -> Iterator[tuple[str, str]]:
    """Tensors from which a parametrisation computes the weight; weight norm is understood."""
    for path, module in parameters.model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        lists = module.parametrizations
        assert isinstance(lists, torch.nn.ModuleDict)
        for weight, steps in lists.items():
            assert isinstance(steps, parametrize.ParametrizationList)
            by = " and ".join(type(step).__name__.lstrip("_") for step in steps)
            if by == "WeightNorm":
                continue
            prefix = f"{path}." if path else ""
            for own, _ in steps.named_parameters(recurse=False):
                name = parameters.describe(f"{prefix}parametrizations.{weight}.{own}").name
                yield name, f"{by} computes the weight that the layer uses from it"


def _overlapping(parameters: ModelParameters, kept: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Parameters that lie in the memory of an earlier one, but are not the same tensor."""
    deciding: dict[int, list[str]] = {}  # storage -> parameters of it that are written
    for name in parameters.names:
        tensor = parameters.tensor(name)
        if name in kept or tensor.device.type != "cpu":
            continue
        beside = deciding.setdefault(tensor.untyped_storage().data_ptr(), [])
        array = as_array(tensor.detach())
        for other in beside:
            if np.shares_memory(array, as_array(parameters.tensor(other).detach())):
                yield name, f"it shares memory with {other}, which decides"
                break
        else:
            beside.append(name)
