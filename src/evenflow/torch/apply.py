"""Apply: write a plan into a model, whole or not at all."""

from __future__ import annotations

import secrets
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Distribution
from evenflow.planning.plan import Plan
from evenflow.sampling import Dtype, fill
from evenflow.torch.names import ModelParameters

FILLABLE: dict[torch.dtype, Dtype] = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


def apply_(plan: Plan, model: torch.nn.Module, seed: int | None = None) -> Plan:
    """Write ``plan`` into ``model``; returns the plan with the seed that was used.

    Names, shapes and types are checked first, and every tensor is put back if a write fails. Each
    tensor that is written counts one version up, as after any of torch's own in-place functions, so
    that autograd refuses to go back through values that are no longer there.
    """
    parameters = ModelParameters(model)
    check_fits(plan, parameters)
    used = seed if seed is not None else plan.seed
    if used is None:
        used = secrets.randbits(63)
    drawn = [name for name, entry in plan.entries.items() if entry.distribution is not None]
    with parameters.restored_on_failure(drawn):
        return write_all(plan, parameters, used)


def write_all(plan: Plan, parameters: ModelParameters, seed: int) -> Plan:
    """Write every distribution of a plan that fits; the caller guards against a failure half-way.

    Returns the plan with the seed.
    """
    for name, entry in plan.entries.items():
        if entry.distribution is not None:
            write(parameters.tensor(name), entry.distribution, seed, name)
    return replace(plan, seed=seed)


def check_fits(plan: Plan, parameters: ModelParameters) -> None:
    """Raise ``PlanError`` naming every difference between a plan and a model."""
    unknown = sorted(set(plan.entries) - set(parameters.names))
    faults = [f"the model has no parameter {name}" for name in unknown]
    for name in parameters.names:
        if name not in plan.entries:
            faults.append(f"the plan says nothing of {name}")
            continue
        entry, tensor = plan.entries[name], parameters.tensor(name)
        if tuple(tensor.shape) != entry.shape:
            faults.append(f"{name} has shape {tuple(tensor.shape)}, in the plan {entry.shape}")
        elif entry.distribution is not None and tensor.is_meta:
            faults.append(f"{name} is on the meta device, so there is no memory to write")
        elif entry.distribution is not None and tensor.dtype not in FILLABLE:
            faults.append(f"{name} has type {tensor.dtype}, which no distribution can fill")
    if faults:
        raise PlanError(
            f"the plan does not fit the model in {len(faults)} places:\n  " + "\n  ".join(faults),
            where=type(parameters.model).__name__,
            remedy="make the plan for this model (ef.plan), or give meta tensors memory first "
            "(model.to_empty)",
        )


def write(tensor: torch.Tensor, distribution: Distribution, seed: int, name: str) -> None:
    """Fill ``tensor`` in place with the values that (seed, name) give."""
    dtype = _fillable(tensor, name)
    if tensor.numel() == 0:
        return
    with torch.no_grad():
        if tensor.device.type == "cpu":
            fill(as_array(tensor.detach()), distribution, seed=seed, name=name, dtype=dtype)
            if not tensor.is_inference():  # so that autograd knows of a write that it didn't see
                torch.autograd.graph.increment_version(tensor)
        else:
            host = torch.empty(tensor.shape, dtype=tensor.dtype)
            fill(as_array(host), distribution, seed=seed, name=name, dtype=dtype)
            tensor.copy_(host)


def _fillable(tensor: torch.Tensor, name: str) -> Dtype:
    """The sampling contract's word for the tensor's type."""
    dtype = FILLABLE.get(tensor.dtype)
    if dtype is None:
        raise InputError(
            f"a tensor of type {tensor.dtype} cannot be filled",
            where=name,
            remedy="use float32, float64, float16 or bfloat16",
        )
    if tensor.is_meta:
        raise InputError(
            "a tensor on the meta device has no memory to write",
            where=name,
            remedy="give it memory first (model.to_empty)",
        )
    if repeats_memory(tensor):
        raise InputError(
            "several of the tensor's elements lie in one place of memory (it was expanded)",
            where=name,
            remedy="clone it first, so that each element has a place of its own",
        )
    return dtype


def repeats_memory(tensor: torch.Tensor) -> bool:
    """Whether elements of the tensor share memory with each other, as after ``expand``."""
    if tensor.layout != torch.strided:
        return False
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return any(size > 1 and stride == 0 for size, stride in sizes)


def as_array(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """The tensor's own memory as a NumPy array; bfloat16 as its bit patterns."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    view: npt.NDArray[np.generic] = tensor.numpy()
    return view
