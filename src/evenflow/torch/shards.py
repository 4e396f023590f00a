"""Shards: which part of a parameter this process holds, from the layout alone.

A DTensor says on which mesh it lies and how each axis of the mesh cuts it. The corner of this
process's part follows from that without a word to any other process, so that it can be written
from global indices: see docs/scale.md.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch

from evenflow.errors import InputError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


class Place(NamedTuple):
    """The part of a tensor that lies in this process's memory: a box of the full tensor."""

    memory: torch.Tensor
    start: tuple[int, ...]
    """The box's corner."""
    shape: tuple[int, ...]
    """Of the full tensor."""


class Cut(NamedTuple):
    """One axis of a mesh that cuts one axis of a tensor."""

    ways: int
    """Processes along that axis of the mesh."""
    position: int
    """Which of them this process is."""
    earlier: int = 0
    """0 for an ordinary cut. Above 0: pieces that other mesh axes have cut the tensor's axis into
    before, although they follow in the mesh (``_StridedShard``: FSDP after tensor parallel)."""


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether the tensor is a DTensor, replicated ones included."""
    module = sys.modules.get("torch.distributed.tensor")  # who has not imported it has none
    return module is not None and isinstance(tensor, module.DTensor)


def place_of(tensor: torch.Tensor) -> Place:
    """Where this process's part of ``tensor`` lies; all of it for an ordinary tensor.

    Sends nothing to any process. Raises ``InputError`` as ``fault_of`` says.
    """
    shape = tuple(tensor.shape)
    if not is_sharded(tensor):
        return Place(tensor, (0,) * len(shape), shape)
    if reason := fault_of(tensor):
        raise InputError(reason, remedy=REMEDY)
    box = _box(tensor)
    return Place(_local(tensor), tuple(begin for begin, _ in box), shape)


REMEDY = "shard parameters with fully_shard, parallelize_module or distribute_tensor"


def fault_of(tensor: torch.Tensor) -> str:
    """Why the part of a DTensor that this process holds cannot be told, "" if it can."""
    if not is_sharded(tensor):
        return ""
    if any(placement.is_partial() for placement in tensor.placements):
        return "it is the sum of parts on several processes (Partial), so no process has its values"
    mesh, distributed = tensor.device_mesh, torch.distributed
    if distributed.is_initialized() and int(mesh.mesh.max()) >= distributed.get_world_size():
        return (
            f"its mesh needs {int(mesh.mesh.max()) + 1} processes, "
            f"of which {distributed.get_world_size()} are there"
        )
    if mesh.get_coordinate() is None:
        return "this process is not part of its mesh"
    try:
        expected = tuple(end - begin for begin, end in _box(tensor))
    except InputError as error:
        return error.what
    found = tuple(_local(tensor).shape)
    if found != expected and 0 not in expected:
        return (
            f"this process holds a part of shape {found}, where {tensor.placements} on a mesh of "
            f"{tuple(mesh.shape)} give {expected}"
        )
    return ""


def require_whole(model: torch.nn.Module, doing: str) -> None:
    """Raise ``InputError`` if any parameter is a DTensor: ``doing`` needs the whole model."""
    for name, parameter in model.named_parameters():
        if is_sharded(parameter):
            raise InputError(
                f"a sharded model cannot be {doing}: each process has a part of it only",
                where=name,
                remedy="plan the model before it is sharded, on the meta device if it is large; "
                "plan.apply_(model) then writes the shards",
            )


def prepare(model: torch.nn.Module) -> None:
    """Make sure that what is written into the model's parameters stays.

    FSDP2 modules that hold gathered copies of their parameters let go of them. Raises
    ``InputError`` for FSDP1, whose flat parameters have lost the names and axes that values are
    drawn by.
    """
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return
    for path, module in model.named_modules():
        if isinstance(module, fsdp.FullyShardedDataParallel):
            raise InputError(
                "FullyShardedDataParallel keeps its parameters flat, without the names and axes "
                "that values are drawn by",
                where=path or type(module.module).__name__,
                remedy="shard with torch.distributed.fsdp.fully_shard, or apply the plan before "
                "wrapping",
            )
        if isinstance(module, fsdp.FSDPModule):
            module.reshard()


def _local(tensor: DTensor) -> torch.Tensor:
    with torch.no_grad():
        return tensor.to_local()


def _box(tensor: DTensor) -> list[tuple[int, int]]:
    """[begin, end) along each axis of the full tensor."""
    mesh: Any = tensor.device_mesh
    cuts: list[list[Cut]] = [[] for _ in tensor.shape]
    placements: tuple[Any, ...] = tensor.placements
    for axis, (placement, position) in enumerate(
        zip(placements, mesh.get_coordinate(), strict=True)
    ):
        if not placement.is_replicate():
            earlier = getattr(placement, "split_factor", 0)
            cuts[placement.dim].append(Cut(mesh.size(axis), position, earlier))
    return [interval(size, own) for size, own in zip(tensor.shape, cuts, strict=True)]


def interval(size: int, cuts: list[Cut]) -> tuple[int, int]:
    """[begin, end) of this process's part of an axis of ``size``, cut as ``torch.chunk`` does.

    Each cut divides what the one before it left: ⌈n/ways⌉ to each process as long as there is
    some. Ordinary cuts come first, in the mesh's order, then the strided ones from the last to
    the first: the order in which tensor parallelism and FSDP2 made them.
    """
    begin, end, pieces = 0, size, 1
    ordinary = [cut for cut in cuts if not cut.earlier]
    for cut in [*ordinary, *reversed([cut for cut in cuts if cut.earlier])]:
        if cut.earlier and cut.earlier != pieces:
            raise InputError(
                f"its layout is unknown: an axis cut {cut.earlier} ways before FSDP, where the "
                f"mesh says {pieces}"
            )
        step = -(-(end - begin) // cut.ways)
        begin = min(begin + cut.position * step, end)
        end = min(begin + step, end)
        pieces *= cut.ways
    return begin, end
