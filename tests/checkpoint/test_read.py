"""Reading checkpoints: every form, by parts; and hostile ones, told in one message."""

import json
import os
import pickle
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evenflow.checkpoint.inert_pickle import Inert, load
from evenflow.checkpoint.layout import INDEX
from evenflow.checkpoint.read import open_checkpoint
from evenflow.checkpoint.stored import Chunk, StoredTensor, require_tiled
from evenflow.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from written import files, header, normal

ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def values(tensor, most=64):
    """The whole tensor, put together from pieces of ``most`` bytes."""
    out = np.zeros(tensor.shape, np.float64)
    for chunk in tensor.chunks:
        box = tuple(slice(a, a + n) for a, n in zip(chunk.start, chunk.shape, strict=True))
        pieces = list(chunk.pieces(tensor.code, most))
        out[box] = np.concatenate(pieces).reshape(chunk.shape) if pieces else 0
    return out


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (7,), (5, 9), (4, 3, 2, 2), (0, 3)])
def test_values_come_piece_by_piece(tmp_path, dtype, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    save_file({"w": array}, tmp_path / "model.safetensors")
    tensor = open_checkpoint(tmp_path)["w"]
    assert np.array_equal(values(tensor), array.astype(np.float64))


def test_all_forms_of_safetensors(tmp_path):
    tensors = {f"w{k}": normal(k, 4, 5) for k in range(5)}
    folder = files(tmp_path / "indexed", tensors)
    save_file(tensors, tmp_path / "one.safetensors")
    for path in (folder, tmp_path / "one.safetensors"):
        found = open_checkpoint(path)
        assert set(found) == set(tensors)
        assert all(np.array_equal(values(found[n]), tensors[n]) for n in tensors)
    (folder / INDEX).unlink()
    assert set(open_checkpoint(folder)) == set(tensors)


@pytest.fixture(scope="module")
def saved_by_torch(tmp_path_factory):
    import torch
    import torch.distributed.checkpoint as dcp

    state = {
        "plain": torch.randn(6, 5),
        "narrow": torch.randn(7).to(torch.bfloat16),
        "turned": torch.randn(4, 6).t(),
        "view": torch.randn(50, 3)[5:9],
        "parameter": torch.nn.Parameter(torch.randn(3, 2)),
        "scalar": torch.tensor(2.5),
    }
    folder = tmp_path_factory.mktemp("dcp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": state, "step": 5, "notes": ["a"]}, checkpoint_id=folder)
    return folder, state


def test_torch_distributed_checkpoints(saved_by_torch):
    folder, state = saved_by_torch
    found = open_checkpoint(folder)
    assert set(found) == {f"model.{name}" for name in state}
    for name, tensor in state.items():
        expected = tensor.detach().double().numpy()
        assert np.array_equal(values(found[f"model.{name}"]), expected), name


def test_nothing_of_torch_is_needed_to_read_one(saved_by_torch):
    folder, _ = saved_by_torch
    script = (
        "import sys; from pathlib import Path; "
        "from evenflow.checkpoint.read import open_checkpoint; "
        "print(len(open_checkpoint(Path(sys.argv[1]))), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "False"]


class Bomb:
    """What a hostile pickle would have called."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize(
    "bomb",
    [Bomb(os.system, "touch HURT"), Bomb(eval, "open('HURT', 'w')"), Bomb(os.getcwd), Bomb(print)],
    ids=["system", "eval", "getcwd", "print"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_anything_is_refused(tmp_path, monkeypatch, bomb, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(bomb, protocol=protocol))
    with pytest.raises(InputError, match="which no checkpoint needs"):
        open_checkpoint(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".metadata"]


def test_known_names_are_never_called():
    call = b"ctorch\nload\n(S'/etc/passwd'\ntR."
    found = load(call, "test")
    assert isinstance(found, Inert)
    assert found.arguments == ("/etc/passwd",)
    assert type(found).__mro__[1:] == (Inert, object)


def test_torch_and_extensions_are_no_way_in():
    with pytest.raises(InputError, match="no checkpoint needs"):
        load(b"ctorch.hub\nload\n.", "test")
    with pytest.raises(InputError, match="the extension 7"):
        load(pickle.EXT1 + b"\x07.", "test")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x04", b"not a pickle", pickle.dumps([1, 2]), pickle.LONG_BINPUT + b"\xff" * 4,
     b"]" + b"r\xff\xff\xff\xff" + b"."],
)  # fmt: skip
def test_damaged_metadata(tmp_path, data):
    (tmp_path / ".metadata").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|no index of torch"):
        open_checkpoint(tmp_path)


def _with_metadata(folder, out, old, new):
    """A copy whose index has ``old`` replaced by ``new``, of equal length."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    data = (folder / ".metadata").read_bytes()
    assert old in data
    assert len(old) == len(new)
    (out / ".metadata").write_bytes(data.replace(old, new))
    return out


@pytest.mark.parametrize("name", [b"../../etc/ab", b"/etc/passwd1", b"__9_9.distcp"])
def test_torch_index_that_names_other_files(saved_by_torch, tmp_path, name):
    folder = _with_metadata(saved_by_torch[0], tmp_path / "bad", b"__0_0.distcp", name)
    with pytest.raises(InputError, match=r"not in its own folder|which is not there"):
        open_checkpoint(folder)


def test_torch_files_cut_short(saved_by_torch, tmp_path):
    folder = _with_metadata(saved_by_torch[0], tmp_path / "bad", b"plain", b"plain")
    file = folder / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"beyond the end|damaged"):
        open_checkpoint(folder)


@pytest.mark.parametrize("seed", range(6))
def test_noise_in_torch_files_is_told_or_harmless(saved_by_torch, tmp_path, seed):
    folder = _with_metadata(saved_by_torch[0], tmp_path / "bad", b"plain", b"plain")
    draw = np.random.default_rng(seed)
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        for at in draw.integers(0, len(content), 8):
            content[at] ^= draw.integers(1, 256)
        path.write_bytes(content)
    outcome = ""
    try:  # an error of any other kind fails the test
        tensors = open_checkpoint(folder).values()
        outcome = f"{len([values(each) for each in tensors if each.is_float])} read"
    except InputError as told:
        outcome = told.what
    assert outcome


@pytest.mark.parametrize(
    ("entries", "data", "said"),
    [
        ({"w": ENTRY}, b"\0" * 20, "28 bytes|where its header says"),
        ({"w": ENTRY}, b"\0" * 25, "where its header says"),
        ({"w": {**ENTRY, "shape": [2, 4]}}, b"\0" * 24, "does not take"),
        ({"w": {**ENTRY, "dtype": "F99"}}, b"\0" * 24, "unknown type"),
        ({"w": {**ENTRY, "shape": [2**40, 2**40]}}, b"\0" * 24, "absurd shape"),
        ({"w": {**ENTRY, "shape": [-2, -3]}}, b"\0" * 24, "malformed"),
        ({"w": ENTRY, "v": ENTRY}, b"\0" * 24, "overlaps"),
        ({"w": {**ENTRY, "data_offsets": [8, 32]}}, b"\0" * 32, "gap"),
        ({"w": {**ENTRY, "data_offsets": [24, 0]}}, b"\0" * 24, "does not take"),
        ({"w": {**ENTRY, "more": 1}}, b"\0" * 24, "malformed"),
        ({"\x1b[2J": ENTRY}, b"\0" * 24, "control characters"),
        ({"w": ENTRY, "__metadata__": {"a": 1}}, b"\0" * 24, "malformed"),
        (b"[1, 2]", b"", "malformed"),
        (b"[" * 100_000, b"", "malformed"),
        (b"\xff\xfe{}", b"", "malformed"),
    ],
)
def test_hostile_headers(tmp_path, entries, data, said):
    path = header(tmp_path / "model.safetensors", entries, data)
    with pytest.raises(InputError, match=said) as told:
        open_checkpoint(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("length", [2**63, 10**9, 0, 1])
def test_absurd_lengths_of_headers(tmp_path, length):
    path = header(tmp_path / "model.safetensors", {"w": ENTRY}, b"\0" * 24, length)
    with pytest.raises(InputError, match="cut short or absurdly long"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "a\\b", "c:d"]
)
def test_an_index_that_leads_elsewhere(tmp_path, name):
    save_file({"w": normal(0, 2)}, tmp_path / "secret.safetensors")
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(InputError, match="not in its own folder"):
        open_checkpoint(folder)


def test_an_index_that_promises_too_much(tmp_path):
    folder = files(tmp_path / "c", {"a": normal(0, 2), "b": normal(1, 2)})
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["c"] = index["weight_map"]["a"]
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="lacks the tensor c"):
        open_checkpoint(folder)
    index["weight_map"]["c"] = "part-9.safetensors"
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="which is not there"):
        open_checkpoint(folder)


def test_a_tensor_in_two_files(tmp_path):
    for name in ("a", "b"):
        save_file({"w": normal(0, 2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match=r"the tensor w is in a\.safetensors too"):
        open_checkpoint(tmp_path)


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        open_checkpoint(tmp_path)
    with pytest.raises(InputError, match="no such checkpoint"):
        open_checkpoint(tmp_path / "missing")
    (tmp_path / INDEX).write_text("{")
    with pytest.raises(InputError, match="malformed"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([((0, 0), (2, 4)), ((2, 0), (2, 4))], ""),
        ([((0, 0), (4, 2)), ((0, 2), (2, 2)), ((2, 2), (2, 2))], ""),
        ([((0, 0), (2, 4))], "do not add up"),
        ([((0, 0), (2, 4)), ((1, 0), (2, 4))], "overlap"),
        ([((0, 0), (2, 4)), ((3, 0), (2, 4))], "outside"),
        ([((0,), (16,))], "outside"),
    ],
)
def test_parts_of_a_tensor_fit_together(tmp_path, boxes, said):
    chunks = tuple(Chunk(tmp_path / "f", 0, start, shape) for start, shape in boxes)
    tensor = StoredTensor("w", "F32", (4, 4), chunks)
    if not said:
        require_tiled(tensor)
        return
    with pytest.raises(InputError, match=said):
        require_tiled(tensor)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    save_file({"w": normal(0, 8, 8)}, tmp_path / "model.safetensors")
    tensor = open_checkpoint(tmp_path)["w"]
    path = tensor.chunks[0].file
    path.write_bytes(path.read_bytes()[: -struct.calcsize("8f")])
    with pytest.raises(InputError, match="ends before its tensor"):
        values(tensor)
