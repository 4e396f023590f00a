"""Checkpoints straight to disk: the contract's values, the same bytes however they are written."""

import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import safe_open

from evenflow.checkpoint import part_file
from evenflow.checkpoint.layout import INDEX
from evenflow.checkpoint.write import job_for, write_checkpoint
from evenflow.errors import InputError
from evenflow.sampling import sample

sys.path.insert(0, str(Path(__file__).parent))
from examples import SEED, items

SMALL = 520_000


def write(folder, *, jobs=2, size=SMALL, host=(1, 1), seed=SEED, beside=None):
    job = job_for(items(), folder, seed=seed, max_shard_size=size, host=host, beside=beside)
    return write_checkpoint(job, jobs=jobs)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tensors(folder):
    """Every tensor as the safetensors library reads it: bytes by name."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118
                found[key] = file.get_tensor(key)
    return found


def as_bytes(tensor):
    import torch

    return (
        tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    )


def test_every_tensor_has_the_contracts_bytes(tmp_path):
    write(tmp_path / "out")
    found = tensors(tmp_path / "out")
    assert set(found) == {item.key for item in items()}
    for item in items():
        expected = item.source
        if not isinstance(expected, bytes):
            expected = sample(
                item.source.distribution, item.shape, seed=SEED, name=item.key,
                dtype=item.source.dtype,
            ).tobytes()  # fmt: skip
        assert tuple(found[item.key].shape) == item.shape
        assert as_bytes(found[item.key]) == expected, item.key


@pytest.mark.parametrize("piece", [1 << 12, 1 << 16])
@pytest.mark.parametrize("jobs", [1, 5])
def test_bytes_do_not_depend_on_threads(tmp_path, monkeypatch, jobs, piece):
    monkeypatch.setattr(part_file, "PIECE", piece)
    write(tmp_path / "one", jobs=1)
    write(tmp_path / "other", jobs=jobs)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_values_do_not_depend_on_the_size_of_files(tmp_path):
    write(tmp_path / "many")
    write(tmp_path / "one", size=10**9)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["model.safetensors"]
    many, one = tensors(tmp_path / "many"), tensors(tmp_path / "one")
    assert {k: as_bytes(v) for k, v in many.items()} == {k: as_bytes(v) for k, v in one.items()}


def test_no_file_is_larger_than_was_asked(tmp_path):
    write(tmp_path)
    files = list(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert all(path.stat().st_size <= SMALL + 8192 for path in files)


def test_hosts_make_one_checkpoint_together(tmp_path):
    write(tmp_path / "alone")
    first = write(tmp_path / "shared", host=(1, 2))
    assert first.missing
    second = write(tmp_path / "shared", host=(2, 2))
    assert second.missing == ()
    assert set(first.files).isdisjoint(second.files)
    assert contents(tmp_path / "alone") == contents(tmp_path / "shared")


def test_finished_files_are_kept_and_damaged_ones_written_again(tmp_path):
    files = write(tmp_path).files
    before = contents(tmp_path)
    stamps = {name: (tmp_path / name).stat().st_mtime_ns for name in files}
    damaged = tmp_path / files[1]
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    (tmp_path / files[2]).write_bytes((tmp_path / files[2]).read_bytes()[:-3])
    again = write(tmp_path)
    assert again.files == (files[1], files[2])
    assert contents(tmp_path) == before
    assert all((tmp_path / name).stat().st_mtime_ns == stamps[name] for name in again.kept)


def test_killed_again_and_again_it_ends_byte_identical(tmp_path):
    script = Path(__file__).parent / "killed.py"
    command = [sys.executable, str(script), str(tmp_path), "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *left, last = done.stdout.splitlines()
    assert len(left) == 12
    assert any(not line.startswith(("0 of", "26 of")) for line in left), "no kill came half-way"
    assert last.startswith("kept ")


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"mine"), ("model.safetensors", b"other"), (INDEX, b"{}")],
)
def test_a_folder_with_other_content_is_refused_and_left(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"holds {name}"):
        write(tmp_path)
    assert contents(tmp_path) == {name: content}


def test_a_folder_begun_with_another_seed_is_refused(tmp_path):
    write(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="would not write"):
        write(tmp_path, seed=8)
    assert contents(tmp_path) == before


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(InputError, match="this is a file"):
        write(tmp_path / "out")


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_500_000))
    with pytest.raises(InputError, match=r"needs 2.* MB more and the disk has 1.5 MB"):
        write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_below_the_largest_tensor(tmp_path):
    with pytest.raises(InputError, match="embed: a file of at most 100 kB") as refused:
        write(tmp_path / "out", size=100_000)
    assert "--max-shard-size 1MB or more" in str(refused.value)


def test_no_such_host(tmp_path):
    with pytest.raises(InputError, match="no host 3 of 2"):
        write(tmp_path, host=(3, 2))


def test_a_failure_while_writing_leaves_no_torn_file(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(part_file, "fill", fail)
    with pytest.raises(MemoryError):
        write(tmp_path)
    assert contents(tmp_path) == {}


def test_memory_holds_pieces_and_no_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(part_file, "PIECE", 1 << 12)
    largest = []
    make = part_file.mmap.mmap

    def watched(number, size):
        largest.append(size)
        return make(number, size)

    monkeypatch.setattr(part_file.mmap, "mmap", watched)
    job = job_for(items()[:3], tmp_path, seed=0)
    tracemalloc.start()
    write_checkpoint(job, jobs=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(largest) == 1 << 12
    assert peak < job.parts[0].size / 2


def test_without_direct_writing_the_bytes_are_the_same(tmp_path, monkeypatch):
    write(tmp_path / "direct")
    opened = os.open

    def refused(path, flags, *args, **kwargs):
        if flags & os.O_DIRECT:
            raise OSError(22, "no direct writing")
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(part_file.os, "open", refused)
    write(tmp_path / "cached")
    assert contents(tmp_path / "direct") == contents(tmp_path / "cached")
