"""Open a checkpoint: find its tensors, without reading their values or executing anything."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evenflow.checkpoint import distributed, safetensors_header
from evenflow.checkpoint.layout import INDEX
from evenflow.checkpoint.stored import Chunk, StoredTensor, file_beside
from evenflow.errors import InputError

_FORMS = (
    "give a folder with model.safetensors, with model.safetensors.index.json, or one that "
    "torch.distributed.checkpoint saved, or a single .safetensors file"
)


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def open_checkpoint(path: Path) -> dict[str, StoredTensor]:
    """The tensors of the checkpoint at ``path`` by name.

    Takes a safetensors file, a folder of them with or without an index, and a folder that
    ``torch.distributed.checkpoint`` saved. Everything that the files say of themselves is checked
    against them first.

    Raises ``InputError`` for what is no checkpoint, cannot be read, or contradicts itself.
    """
    if path.is_file() and path.suffix == ".safetensors":
        return _from_files({path: None})
    if not path.is_dir():
        raise InputError("there is no such checkpoint", where=str(path), remedy=_FORMS)
    if (path / INDEX).is_file():
        return _from_files(_indexed(path / INDEX))
    if (path / ".metadata").is_file():
        return distributed.open_folder(path)
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise InputError("the folder holds no checkpoint", where=str(path), remedy=_FORMS)
    return _from_files(dict.fromkeys(files))


def _indexed(index: Path) -> dict[Path, list[str] | None]:
    """The files of an index and the tensors that each should hold."""
    try:
        content = msgspec.json.decode(index.read_bytes(), type=_Index)
    except OSError as error:
        raise InputError(
            f"the index cannot be read: {error.strerror or error}", where=str(index)
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the index is malformed: {error}", where=str(index)) from error
    files: dict[Path, list[str] | None] = {}
    for name, file in content.weight_map.items():
        own = files.setdefault(file_beside(index, file), [])
        assert own is not None
        own.append(name)
    return files


def _from_files(files: dict[Path, list[str] | None]) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    for path, promised in files.items():
        tensors = safetensors_header.read(path).tensors
        for name in promised or ():
            if name not in tensors:
                raise InputError(f"it lacks the tensor {name}, which the index promises",
                                 where=str(path))  # fmt: skip
        for name, stored in tensors.items():
            if name in found:
                other = found[name].chunks[0].file.name
                raise InputError(f"the tensor {name} is in {other} too", where=str(path))
            chunk = Chunk(path, stored.begin, (0,) * len(stored.shape), stored.shape)
            found[name] = StoredTensor(name, stored.code, stored.shape, (chunk,))
    return found
