"""Apply: write a plan into a model, whole or not at all."""

from __future__ import annotations

import secrets
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Blocks, DeltaOrthogonal, Distribution, Orthogonal
from evenflow.planning.plan import Plan
from evenflow.sampling import Dtype, fill
from evenflow.sampling.arguments import parts_of
from evenflow.torch.names import ModelParameters
from evenflow.torch.shards import fault_of, is_sharded, place_of, prepare

FILLABLE: dict[torch.dtype, Dtype] = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


def apply_(plan: Plan, model: torch.nn.Module, seed: int | None = None) -> Plan:
    """Write ``plan`` into ``model``; returns the plan with the seed that was used.

    Names, shapes, types and layouts are checked first, and every tensor is put back if a write
    fails, but for sharded ones, whose memory may have no room for a second copy. Each tensor that
    is written counts one version up, as after any of torch's own in-place functions, so that
    autograd refuses to go back through values that are no longer there.

    Of a DTensor this process writes its own part, and no process hears from another: all of them
    need the same seed, so a fresh one is not drawn for a sharded model.
    """
    prepare(model)
    parameters = ModelParameters(model)
    check_fits(plan, parameters)
    used = seed if seed is not None else plan.seed
    drawn = [name for name, entry in plan.entries.items() if entry.distribution is not None]
    whole = [name for name in drawn if not is_sharded(parameters.tensor(name))]
    if used is None:
        if len(whole) < len(drawn):
            raise InputError(
                "each process would draw a seed of its own",
                remedy="give the same one to all: plan.apply_(model, seed=0)",
            )
        used = secrets.randbits(63)
    with parameters.restored_on_failure(whole):
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
    """Raise ``PlanError`` naming every difference between a plan and a model, or ``InputError``
    for values that a parameter's type cannot hold.
    """
    faults = mismatches(plan, parameters)
    for name, entry in plan.entries.items():
        if entry.distribution is None or name not in parameters.names:
            continue
        tensor = parameters.tensor(name)
        if tensor.is_meta:
            faults.append(f"{name} is on the meta device, so there is no memory to write")
        elif tensor.dtype not in FILLABLE:
            faults.append(f"{name} has type {tensor.dtype}, which no distribution can fill")
        elif fault := fault_of(tensor):
            faults.append(f"{name} cannot be written: {fault}")
    raise_if_any(faults, parameters)
    for name, entry in plan.entries.items():
        tensor = parameters.tensor(name)
        if entry.distribution is not None and tensor.numel():
            parts_of(entry.distribution, entry.shape or (1,), name, FILLABLE[tensor.dtype])


def mismatches(plan: Plan, parameters: ModelParameters) -> list[str]:
    """Every parameter that the plan and the model do not both have, or not in one shape."""
    unknown = sorted(set(plan.entries) - set(parameters.names))
    faults = [f"the model has no parameter {name}" for name in unknown]
    for name in parameters.names:
        shape = tuple(parameters.tensor(name).shape)
        if name not in plan.entries:
            faults.append(f"the plan says nothing of {name}")
        elif shape != plan.entries[name].shape:
            faults.append(f"{name} has shape {shape}, in the plan {plan.entries[name].shape}")
    return faults


def raise_if_any(faults: list[str], parameters: ModelParameters) -> None:
    """Raise ``PlanError`` that lists the faults, if there are any."""
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
    memory, start, shape = place_of(tensor)
    if memory.numel() == 0:
        return
    given: dict[str, Any] = {"seed": seed, "name": name, "shape": shape, "start": start}
    with torch.no_grad():
        if memory.device.type == "cpu":
            fill(as_array(memory.detach()), distribution, dtype=dtype, **given)
        elif _is_filled_on_gpu(memory, distribution):
            from evenflow.torch import triton_fill

            triton_fill.fill(memory.detach(), distribution, **given)
        else:
            host = torch.empty(memory.shape, dtype=memory.dtype)
            fill(as_array(host), distribution, dtype=dtype, **given)
            memory.copy_(host)
    if not tensor.is_inference():  # so that autograd knows of a write that it didn't see
        torch.autograd.graph.increment_version(tensor)


def _is_filled_on_gpu(memory: torch.Tensor, distribution: Distribution) -> bool:
    """Whether a kernel on the GPU can make the values: each on its own, and Triton is there."""
    parts = distribution.parts if isinstance(distribution, Blocks) else (distribution,)
    return (
        memory.device.type == "cuda"
        and not any(isinstance(part, Orthogonal | DeltaOrthogonal) for part in parts)
        and find_spec("triton") is not None
    )


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
