"""What every rank does and reports; ``test_shards.py`` asserts. See ``ranks.py``."""

import random

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import (
    FullyShardedDataParallel,
    MixedPrecisionPolicy,
    fully_shard,
)
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_tensor,
    init_device_mesh,
)
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

import evenflow as ef
from evenflow.errors import EvenflowError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.sampling import sample
from evenflow.torch.apply import write

DTYPES = ("float32", "float64", "float16", "bfloat16")
EXACT = (Uniform(0.5), Normal(0.02), TruncatedNormal(0.02), Constant(0.25))


def whole(distribution, shape, name, dtype="float32", seed=3):
    """The full tensor, made in one piece without torch's help."""
    made = sample(distribution, shape, seed=seed, name=name, dtype=dtype)
    if dtype == "bfloat16":
        return torch.from_numpy(made.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(made)


def meshes():
    world = dist.get_world_size()
    shapes = [(world,)] + [(2, world // 2)] * (world > 2) + [(2, 2, 2)] * (world == 8)
    return [init_device_mesh("cpu", shape) for shape in shapes]


def random_layouts():
    """Random shapes, types, distributions and placements against torch's own cutting: faults."""
    draw, faults, found = random.Random(0), [], meshes()
    for number in range(40):
        mesh = draw.choice(found)
        shape = tuple(draw.randint(1, 12) for _ in range(draw.choice((1, 2, 2, 3, 4))))
        placements = [
            draw.choice([Replicate(), *(Shard(axis) for axis in range(len(shape)))])
            for _ in range(mesh.ndim)
        ]
        choices = [*EXACT]
        if len(shape) > 1:
            choices.append(Orthogonal(1.5))
            choices.append(Blocks(0, (shape[0],), (Normal(1.0),)))
        if shape[0] > 1:
            choices.append(Blocks(0, (1, shape[0] - 1), (Constant(1.0), Uniform(1.0))))
        if len(shape) > 2:
            choices.append(DeltaOrthogonal())
        distribution, dtype = draw.choice(choices), draw.choice(DTYPES)
        expected = whole(distribution, shape, f"p{number}", dtype)
        empty = torch.full(shape, 7, dtype=expected.dtype)
        tensor = distribute_tensor(empty, mesh, placements, src_data_rank=None)
        write(tensor, distribution, 3, f"p{number}")
        same = distribute_tensor(expected, mesh, placements, src_data_rank=None)
        if not torch.equal(tensor.to_local(), same.to_local()):
            faults.append(f"{distribution} {dtype} {shape} {placements} on {mesh}")
        if not torch.equal(tensor.full_tensor(), expected):
            faults.append(f"gathered: {distribution} {dtype} {shape} {placements} on {mesh}")
    return faults


class Block(nn.Module):
    """Uneven on purpose: 10 and 7 cannot be shared out evenly to 4."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(6, 10)
        self.norm = nn.BatchNorm1d(10)
        self.down = nn.Linear(10, 7)

    def forward(self, x):
        return self.down(self.norm(self.up(x)))


def plan_of(model):
    kinds = [
        *(TruncatedNormal(0.5), Constant(0.1), Constant(1.0)),
        *(Constant(0.0), Orthogonal(), Uniform(1.0)),
    ]
    entries = {
        name: Entry(tuple(p.shape), kind, "")
        for (name, p), kind in zip(model.named_parameters(), kinds, strict=True)
    }
    return Plan("by hand", entries)


def unequal(model, plan, seed=5):
    """Names whose gathered values are not those of an unsharded model."""
    single = Block()
    plan.apply_(single, seed=seed)
    gathered = {name: parameter.full_tensor() for name, parameter in model.named_parameters()}
    return [n for n, p in single.named_parameters() if not torch.equal(gathered[n], p)]


def from_meta():
    """meta → fully_shard → to_empty → apply_ → buffers."""
    with torch.device("meta"):
        model = Block()
    plan = plan_of(model)
    for part in (model.up, model.down, model):
        fully_shard(part, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    model.to_empty(device="cpu")
    before = torch.get_rng_state()
    plan.apply_(model, seed=5)
    buffers = ef.restore_buffers_(model)
    moved = not torch.equal(before, torch.get_rng_state())
    return {
        "unequal": unequal(model, plan),
        "rng moved": moved,
        "left": buffers.left,
        "restored": buffers.restored,
        "statistics": [model.norm.running_mean.sum().item(), model.norm.running_var.sum().item()],
    }


def while_gathered():
    """A write while FSDP2 holds gathered copies must not be lost with them."""
    model = Block()
    plan = plan_of(model)
    fully_shard(model, reshard_after_forward=False)
    model.eval()(torch.zeros(2, 6))
    plan.apply_(model, seed=5)
    return unequal(model, plan)


def with_tensor_parallel():
    """FSDP2 over tensor parallel: strided shards, uneven ones among them."""
    faults = []
    world = dist.get_world_size()
    mesh = init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("dp", "tp"))
    model = Block()
    plan = plan_of(model)
    single = Block()
    plan.apply_(single, seed=5)
    parallelize_module(model, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
    fully_shard(model.up, mesh=mesh["dp"])
    fully_shard(model.down, mesh=mesh["dp"])
    plan.apply_(model, seed=5)
    for layer in ("up", "down"):  # what the layer computes with, gathered by FSDP itself
        part, full = getattr(model, layer), getattr(single, layer)
        part.unshard()
        for name, full_parameter in full.named_parameters():
            parameter = getattr(part, name)
            same = distribute_tensor(
                full_parameter.detach(), mesh["tp"], parameter.placements, src_data_rank=None
            )
            if not torch.equal(parameter.to_local(), same.to_local()):
                faults.append(f"{layer}.{name} {parameter.placements}")
        part.reshard()
    return faults


def losses():
    """Losses of 20 steps, sharded and not, on the same batches."""
    model, single = Block(), Block()
    plan = plan_of(model)
    fully_shard(model.up)
    fully_shard(model)
    plan.apply_(model, seed=5)
    plan.apply_(single, seed=5)
    return [_trained(model), _trained(single)]


def _trained(model):
    draw = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    found = []
    for _ in range(20):
        x = torch.randn(16, 6, generator=draw)
        loss = (model(x) - x[:, :1].sin()).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


def refusals():
    """What each bad model is told."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    summed, lost, other = Block(), Block(), Block()
    plan = plan_of(other)
    summed.up.weight = nn.Parameter(
        DTensor.from_local(torch.zeros(10, 6), mesh, [Partial()], run_check=False)
    )
    lost.up.weight = nn.Parameter(
        DTensor.from_local(
            torch.zeros(1, 6), mesh, [Shard(0)], run_check=False, shape=(10, 6), stride=(6, 1)
        )
    )
    renamed = plan_of(other)
    renamed.entries["up.wait"] = renamed.entries.pop("up.weight")
    flat = FullyShardedDataParallel(Block(), device_id=torch.device("cpu"))
    return {
        "partial": _told(summed, plan),
        "lost rank": _told(lost, plan),
        "no seed": _told(fully_shard(Block()), plan, seed=None),
        "names": _told(fully_shard(Block()), renamed),
        "fsdp1": _told(flat, plan),
        "plan": _told(fully_shard(Block()), ef),
    }


def _told(model, plan, seed=5):
    """The error that applying gives (planning, for the module ``ef``); "changed" if it wrote."""
    before = [_local(p).clone() for p in model.parameters()]
    try:
        plan.plan(model, torch.zeros(2, 6)) if plan is ef else plan.apply_(model, seed=seed)
    except EvenflowError as error:
        same = map(torch.equal, before, map(_local, model.parameters()))
        return str(error) if all(same) else "changed"
    return "nothing"


def _local(parameter):
    with torch.no_grad():
        return parameter.to_local() if isinstance(parameter, DTensor) else parameter
