"""Shards: each process writes its own part, and together they have the unsharded values."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh

# Registers the process group that sends nothing: one process can be any rank of any world.
from torch.testing._internal.distributed.fake_pg import FakeStore

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.planning.plan import Entry, Plan
from evenflow.sampling import sample
from evenflow.torch.apply import write
from evenflow.torch.shards import Cut, interval, place_of

RANKS = Path(__file__).parent / "ranks.py"


def reports(world, folder, *cases):
    """What each rank of a gloo group of ``world`` processes reports, case by case."""
    command = [sys.executable, str(RANKS), str(world), str(folder), *cases]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_LOGS": "-distributed"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


CASES = ("random_layouts", "from_meta", "while_gathered", "losses")
ON = {2: CASES, 4: (*CASES, "with_tensor_parallel", "refusals"),
      8: ("random_layouts", "with_tensor_parallel")}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(ON))
def found(request, tmp_path_factory):
    world = request.param
    return reports(world, tmp_path_factory.mktemp(f"ranks{world}"), *ON[world])


def of(found, case):
    if case not in found[0]:
        pytest.skip("not run with so many ranks")
    return [report[case] for report in found]


def test_any_layout_gives_the_unsharded_bits(found):
    assert of(found, "random_layouts") == [[]] * len(found)


def test_meta_then_fully_shard_then_to_empty_then_apply(found):
    for report in of(found, "from_meta"):
        assert report["unequal"] == []
        assert not report["rng moved"]
        assert report["left"] == []
        assert report["restored"] == [
            "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"
        ]  # fmt: skip
        assert report["statistics"] == [0.0, 10.0]


def test_a_write_while_parameters_are_gathered_is_not_lost(found):
    assert of(found, "while_gathered") == [[]] * len(found)


def test_fsdp_over_tensor_parallel_computes_with_the_unsharded_bits(found):
    assert of(found, "with_tensor_parallel") == [[]] * len(found)


def test_sharded_training_has_the_losses_of_unsharded_training(found):
    for sharded, single in of(found, "losses"):
        assert sharded == pytest.approx(single, rel=1e-4)
        assert single[-1] < 0.7 * single[0]


def test_models_that_cannot_be_written_are_refused_and_left(found):
    told = of(found, "refusals")[0]
    assert "the sum of parts on several processes" in told["partial"]
    assert "this process holds a part of shape (1, 6)" in told["lost rank"]
    assert "give the same one to all" in told["no seed"]
    assert "the model has no parameter up.wait" in told["names"]
    assert "the plan says nothing of up.weight" in told["names"]
    assert "fully_shard" in told["fsdp1"]
    assert "cannot be traced" in told["plan"]


@pytest.fixture(scope="module")
def as_rank():
    """A function that makes this process one rank of a world in which nothing is sent."""

    def become(rank, world):
        if dist.is_initialized():
            dist.destroy_process_group()
        dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)

    yield become
    if dist.is_initialized():
        dist.destroy_process_group()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_rank_of_any_world_writes_its_part(as_rank, data):
    mesh_shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3), "mesh")
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=3), "shape"))
    layouts = st.sampled_from([Replicate(), *(Shard(axis) for axis in range(len(shape)))])
    placements = [data.draw(layouts, "placement") for _ in mesh_shape]
    distribution = data.draw(st.sampled_from([Uniform(1.0), Normal(1.0), TruncatedNormal(1.0)]))
    world = math.prod(mesh_shape)
    as_rank(data.draw(st.integers(0, world - 1), "rank"), world)
    mesh = init_device_mesh("cpu", tuple(mesh_shape))
    expected = torch.from_numpy(sample(distribution, shape, seed=1, name="w"))
    tensor = distribute_tensor(torch.zeros(shape), mesh, placements, src_data_rank=None)
    write(tensor, distribution, 1, "w")
    same = distribute_tensor(expected, mesh, placements, src_data_rank=None)
    assert torch.equal(tensor.to_local(), same.to_local())


@given(
    size=st.integers(0, 60),
    ways=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    data=st.data(),
)
def test_parts_of_an_axis_are_those_of_torch_chunk(size, ways, data):
    rest, cuts = torch.arange(size), []
    for each in ways:
        position = data.draw(st.integers(0, each - 1))
        cuts.append(Cut(each, position))
        chunks = rest.chunk(each) if len(rest) else ()
        rest = chunks[position] if position < len(chunks) else rest[:0]
    begin, end = interval(size, cuts)
    assert rest.tolist() == list(range(begin, end))


def test_strided_cuts_come_last():
    # FSDP, first in the mesh, has cut what tensor parallelism had cut: 10 = 5 + 5, 5 = 3 + 2.
    parts = [interval(10, [Cut(2, dp, 2), Cut(2, tp)]) for tp in (0, 1) for dp in (0, 1)]
    assert parts == [(0, 3), (3, 5), (5, 8), (8, 10)]


def test_a_strided_cut_of_unknown_making_is_refused():
    with pytest.raises(InputError, match="layout is unknown"):
        interval(8, [Cut(2, 0, 3), Cut(2, 0)])


def test_a_mesh_that_needs_more_processes_than_there_are(as_rank):
    as_rank(0, 4)
    tensor = distribute_tensor(
        torch.zeros(8), init_device_mesh("cpu", (4,)), [Shard(0)], src_data_rank=None
    )
    as_rank(0, 2)
    with pytest.raises(InputError, match="needs 4 processes, of which 2 are there"):
        write(tensor, Normal(1.0), 0, "w")


def test_shards_without_memory_are_refused(as_rank):
    as_rank(1, 4)
    with torch.device("meta"):
        model = fully_shard(torch.nn.Linear(6, 10, bias=False))
    plan = Plan("by hand", {"weight": Entry((10, 6), Normal(1.0), "")})
    with pytest.raises(PlanError, match="weight is on the meta device"):
        plan.apply_(model, seed=0)
    model.to_empty(device="cpu")
    plan.apply_(model, seed=0)
    expected = sample(Normal(1.0), (10, 6), seed=0, name="weight", window=(slice(3, 6), slice(6)))
    assert torch.equal(model.weight.to_local(), torch.from_numpy(expected))


def test_a_process_outside_the_mesh_is_told(as_rank):
    as_rank(3, 4)
    mesh = dist.device_mesh.DeviceMesh("cpu", [0, 1])
    tensor = distribute_tensor(torch.zeros(8), mesh, [Shard(0)], src_data_rank=None)
    with pytest.raises(InputError, match="not part of its mesh"):
        place_of(tensor)
