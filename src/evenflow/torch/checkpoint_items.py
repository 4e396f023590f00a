"""A model's state as the items of a checkpoint: drawn by the plan, or taken as it was built."""

from __future__ import annotations

from typing import Any

import torch

from evenflow.checkpoint.layout import CODES, Drawn, Item
from evenflow.errors import InputError
from evenflow.planning.plan import Plan
from evenflow.sampling import Dtype
from evenflow.sampling.arguments import parts_of
from evenflow.torch.apply import FILLABLE, as_array, mismatches, raise_if_any
from evenflow.torch.names import ModelParameters, unwrap

_CODES: dict[torch.dtype, str] = {
    **{torch_type: CODES[dtype] for torch_type, dtype in FILLABLE.items()},
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
}


def items_of(plan: Plan, model: torch.nn.Module, dtype: torch.dtype | None = None) -> list[Item]:
    """The tensors of ``model``'s state under ``plan``, each tied one once, in the state's order.

    ``model`` may be weightless. ``dtype`` is that of all floating-point tensors; None keeps theirs.
    Of tied tensors the name counts that Transformers keeps, and elsewhere the first.

    Raises ``PlanError`` if the plan is for another model, ``InputError`` for a tensor that neither
    the plan fills nor memory holds, and for values that its type cannot hold.
    """
    model = unwrap(model)
    parameters = ModelParameters(model)
    raise_if_any(mismatches(plan, parameters), parameters)
    dropped = _dropped_by_transformers(model)
    state: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    items: dict[str, Item] = {}
    for key, tensor in state.items():
        first = parameters.describe(key).name
        if first in items and items[first].key not in dropped:
            continue
        items[first] = _item(key, first, tensor, plan, dtype)
    return list(items.values())


def _item(key: str, name: str, tensor: torch.Tensor, plan: Plan, dtype: torch.dtype | None) -> Item:
    stored = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    if stored not in _CODES:
        raise InputError(f"safetensors has no type for {stored}", where=key)
    shape = tuple(tensor.shape)
    entry = plan.entries.get(name)
    if entry is None or entry.distribution is None:
        return Item(key, shape, _CODES[stored], _values(key, tensor, stored))
    if stored not in FILLABLE:
        raise InputError(f"a tensor of type {stored} cannot be filled", where=key)
    drawn = Drawn(entry.distribution, FILLABLE[stored], name)
    if tensor.numel():
        parts_of(drawn.distribution, shape or (1,), name, drawn.dtype)  # refuses what can't be
    return Item(key, shape, _CODES[stored], drawn)


def _values(key: str, tensor: torch.Tensor, stored: torch.dtype) -> bytes:
    """The bytes of a tensor that no distribution fills."""
    if tensor.is_meta:
        raise InputError(
            "the plan does not fill it, and a model built without memory has no values for it",
            where=key,
            remedy='give it a distribution in the plan (plan["' + key + '"] = …), or for small '
            "models write a single file: --out weights.safetensors",
        )
    values = tensor.detach().to(device="cpu", dtype=stored).contiguous()
    return as_array(values).tobytes()


def type_named(dtype: Dtype) -> torch.dtype:
    """torch's own type for the sampling contract's word."""
    return next(torch_type for torch_type, name in FILLABLE.items() if name == dtype)


def _dropped_by_transformers(model: torch.nn.Module) -> set[str]:
    """Names of tied tensors that a Transformers checkpoint leaves out."""
    tied: Any = getattr(model, "all_tied_weights_keys", None) or {}
    return set(tied)
