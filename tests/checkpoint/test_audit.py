"""The audit of checkpoints: every fault is found, none where there is none, by parts."""

import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evenflow.checkpoint import measure
from evenflow.checkpoint.audit import audit
from evenflow.checkpoint.layout import Drawn, Item
from evenflow.checkpoint.read import open_checkpoint
from evenflow.checkpoint.stored import StoredTensor
from evenflow.checkpoint.write import job_for, write_checkpoint
from evenflow.diagnose import diagnose
from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.record.record import Record

sys.path.insert(0, str(Path(__file__).parent))
from written import files, normal

KINDS = {
    "embed": ((400, 64), Normal(0.02)),
    "cut": ((256, 64), TruncatedNormal(0.05)),
    "flat": ((256, 64), Uniform(0.1)),
    "turned": ((64, 64), Orthogonal(1.0)),
    "packed": ((96, 64), Blocks(0, (32, 64), (Normal(0.02), Normal(0.04)))),
    "bias": ((64,), Constant(0.0)),
    "scale": ((64,), Constant(1.0)),
}


def plan(**changes):
    kinds = {**KINDS, **{name: (KINDS[name][0], kind) for name, kind in changes.items()}}
    return Plan("by hand", {name: Entry(shape, kind, "") for name, (shape, kind) in kinds.items()})


def drawn(folder, **changes):
    """A checkpoint of KINDS, some of them drawn otherwise."""
    items = [
        Item(name, shape, "BF16", Drawn(changes.get(name, kind), "bfloat16", name))
        for name, (shape, kind) in KINDS.items()
    ]
    write_checkpoint(job_for(items, folder, seed=3, max_shard_size=60_000))
    return folder


def found(path, against=None):
    """Names of findings and where they are."""
    diagnosis = diagnose(audit(path, against))
    return {f.name: (f.where, *f.others) for f in diagnosis.findings}


def levels(path, against=None):
    return {f.name: f.level for f in diagnose(audit(path, against)).findings}


@pytest.mark.parametrize("piece", [1 << 10, 1 << 24])
def test_a_sound_checkpoint_is_left_in_peace(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(measure, "PIECE", piece)
    assert found(drawn(tmp_path), plan()) == {}


def test_numbers_are_those_of_the_whole_tensor(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "PIECE", 1 << 10)
    array = normal(0, 301, 33).astype(np.float64)
    array[5] = 0
    save_file({"w": array}, tmp_path / "model.safetensors")
    (tensor,) = audit(tmp_path).stored
    assert tensor.count == array.size
    assert tensor.rows == 301
    assert tensor.zero_rows == 1
    assert tensor.mean == pytest.approx(array.mean(), abs=1e-15)
    assert tensor.second_moment == pytest.approx((array**2).mean(), rel=1e-12)
    assert (tensor.minimum, tensor.maximum) == (array.min(), array.max())
    assert tensor.kurtosis == pytest.approx((array**4).mean() / (array**2).mean() ** 2, rel=1e-12)


@pytest.mark.parametrize("ways", [2, 3, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_equal_shards_of_a_whole_tensor(tmp_path, ways, axis):
    part = normal(0, 12, 24)
    bad = np.concatenate([part] * ways, axis)[:, : 24 * ways - axis]  # the last one is shorter
    folder = files(tmp_path / "c", {"good": normal(1, 24, 24), "bad": bad.copy()})
    assert found(folder) == {"duplicate-shards": ("bad",)}
    (tensor,) = (t for t in audit(folder).stored if t.name == "bad")
    assert (tensor.ways, tensor.axis) == (ways, axis)


def test_equal_shards_that_are_stored_apart(tmp_path):
    part = normal(0, 6, 8)
    save_file({"a": part, "b": part, "c": normal(1, 6, 8)}, tmp_path / "model.safetensors")
    stored = open_checkpoint(tmp_path)
    chunks = tuple(
        replace(stored[name].chunks[0], start=(6 * k, 0)) for k, name in enumerate("abc")
    )
    one, _ = measure.measured(StoredTensor("w", "F32", (18, 8), chunks), lambda _: None)
    assert (one.shards, one.equal_shards) == (3, 2)


def test_cloned_layers(tmp_path):
    one = normal(0, 20, 30)
    tensors = {"l.0": one, "l.1": normal(1, 20, 30), "l.2": one.copy(), "zero": one * 0}
    folder = files(tmp_path / "c", {**tensors, "zero2": one * 0})
    assert found(folder) == {"cloned-tensors": ("l.2",)}


@pytest.mark.parametrize(
    ("written", "levels_of"),
    [
        (Normal(0.05), {"off-plan-truncation": "warning"}),
        (TruncatedNormal(0.05, 3.0), {"off-plan-truncation": "warning"}),
        (TruncatedNormal(0.05, 1.5), {"off-plan-truncation": "warning"}),
        (TruncatedNormal(0.05 * 0.8796), {"off-plan-scale": "warning"}),
        (TruncatedNormal(0.2), {"off-plan-scale": "error"}),
        (Uniform(0.05 * 3**0.5), {"off-plan-truncation": "warning"}),
        (Constant(0.0), {"off-plan-scale": "error"}),
        (Constant(3.0), {"off-plan-scale": "error"}),
    ],
    ids=str,
)
def test_tensors_off_the_plan(tmp_path, written, levels_of):
    drawn(tmp_path, cut=written)
    assert levels(tmp_path, plan()) == levels_of
    assert set(found(tmp_path, plan()).values()) == {("cut",)}
    assert found(tmp_path) == {}


def test_truncated_where_a_normal_was_planned(tmp_path):
    drawn(tmp_path, embed=TruncatedNormal(0.02))
    assert found(tmp_path, plan()) == {"off-plan-truncation": ("embed",)}


def test_a_constant_that_is_not_the_planned_one(tmp_path):
    drawn(tmp_path, scale=Constant(0.0), bias=Constant(1.0))
    assert found(tmp_path, plan()) == {"off-plan-scale": ("bias", "scale")}


def test_memory_that_was_never_written(tmp_path):
    garbage, fresh, part = (normal(k, 20, 30) for k in range(3))
    garbage *= 1e30
    fresh *= np.float32(1e-42) / np.float32(0.02)
    part[10:] = 0
    padded = normal(4, 20, 30)
    padded[7] = 0
    folder = files(
        tmp_path / "c", {"garbage": garbage, "fresh": fresh, "part": part, "padded": padded}
    )
    (places,) = found(folder).values()
    assert set(places) == {"garbage", "fresh", "part"}
    assert levels(folder) == {"never-initialised": "error"}


def test_values_that_are_no_numbers(tmp_path):
    bad, good = normal(0, 20, 30), normal(1, 20, 30)
    bad[3, 4], bad[5, 6] = np.nan, np.inf
    folder = files(tmp_path / "c", {"good": good, "bad": bad, "all": good * np.nan})
    assert {frozenset(places) for places in found(folder).values()} == {frozenset(("bad", "all"))}
    assert levels(folder) == {"nonfinite-tensors": "error"}
    counts = {tensor.name: tensor.nonfinite for tensor in audit(folder).stored}
    assert counts == {"good": 0, "bad": 2, "all": 600}


def test_a_plan_whose_names_do_not_match(tmp_path):
    folder = drawn(tmp_path)
    other = plan()
    other.entries["extra"] = other.entries.pop("cut")
    with pytest.raises(PlanError, match="the checkpoint has no tensor extra"):
        audit(folder, other)
    other = plan()
    other.entries["cut"] = Entry((64, 256), Normal(1.0), "")
    with pytest.raises(PlanError, match=r"cut has shape \(256, 64\), in the plan \(64, 256\)"):
        audit(folder, other)


def test_names_may_all_begin_with_more(tmp_path):
    items = [
        Item(f"model.{name}", shape, "F32", Drawn(kind, "float32", name))
        for name, (shape, kind) in KINDS.items()
    ]
    write_checkpoint(job_for(items, tmp_path / "c", seed=0))
    assert found(tmp_path / "c", plan()) == {}
    assert found(tmp_path / "c", plan(flat=Uniform(0.2))) == {"off-plan-scale": ("model.flat",)}


def test_nothing_to_measure(tmp_path):
    save_file({"steps": np.arange(3)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no floating-point tensors"):
        audit(tmp_path)


def test_rules_of_the_other_kind_are_skipped_and_say_so(tmp_path):
    record = audit(drawn(tmp_path))
    (outcome,) = diagnose(record, select=["EF101"]).outcomes
    assert outcome.skipped == "a checkpoint says nothing of a pass"
    plain = Record("m", (), (), {}, None, "export")
    (outcome,) = diagnose(plain, select=["EF601"]).outcomes
    assert outcome.skipped == "no checkpoint was read"
    assert all(outcome.code < "EF6" for outcome in diagnose(plain).outcomes)


def test_without_a_plan_rules_that_need_one_are_skipped(tmp_path):
    skipped = {o.code for o in diagnose(audit(drawn(tmp_path))).outcomes if o.skipped}
    assert skipped == {"EF603", "EF604"}


def test_memory_holds_pieces_and_no_tensors(tmp_path, monkeypatch):
    save_file({"w": normal(0, 4000, 1000)}, tmp_path / "model.safetensors")
    audit(tmp_path)  # loads what is loaded once
    monkeypatch.setattr(measure, "PIECE", 1 << 18)
    tracemalloc.start()
    audit(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_000_000 / 8


def test_progress_counts_every_byte(tmp_path):
    told = []
    audit(drawn(tmp_path), progress=lambda done, of: told.append((done, of)))
    assert sum(done for done, _ in told) == told[0][1]
