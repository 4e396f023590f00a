"""Checkpoints of ``torch.distributed.checkpoint``, without torch and without executing a pickle.

Such a folder keeps its index in ``.metadata``, a pickle, and tensors in ``.distcp`` files, each as
``torch.save`` writes it: a zip archive of a small pickle and the bare bytes. See ``inert_pickle``
for how these are read.
"""

from __future__ import annotations

import math
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from evenflow.checkpoint.inert_pickle import Inert, load
from evenflow.checkpoint.safetensors_header import ITEM_BYTES
from evenflow.checkpoint.stored import Chunk, StoredTensor, file_beside, require_tiled
from evenflow.errors import InputError

_CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "bool": "BOOL",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
}
_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
}
_LONGEST = 1 << 30
"""Bytes of the longest .metadata that is read."""
_PICKLE = 1 << 20
"""Bytes of the longest pickle beside a single tensor."""


def open_folder(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of the checkpoint in ``folder`` by name; raises ``InputError``."""
    index = folder / ".metadata"
    try:
        if index.stat().st_size > _LONGEST:
            raise InputError("it is absurdly long", where=str(index))
        metadata = load(index.read_bytes(), str(index))
    except OSError as error:
        raise InputError(
            f"the checkpoint cannot be read: {error.strerror or error}", where=str(index)
        ) from error
    try:
        return _tensors(metadata, index)
    except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"this is no index of torch.distributed.checkpoint: {error}",
            where=str(index),
            remedy="save the checkpoint again with a current PyTorch, or as safetensors",
        ) from error


def _tensors(metadata: Any, index: Path) -> dict[str, StoredTensor]:
    places = {
        (key.fqn, _sizes(key.offset)): info
        for key, info in metadata.storage_data.items()
        if isinstance(key, Inert) and key.fields.get("offset") is not None
    }
    found = {}
    for name, entry in metadata.state_dict_metadata.items():
        if entry.kind != "TensorStorageMetadata":
            continue  # numbers and the like, as pickles of their own, which are not opened
        dtype = entry.properties.state[0].kind
        if not isinstance(name, str) or not name.isprintable() or dtype not in _CODES:
            raise ValueError(f"the tensor {name!r} has the type {dtype}")
        code = _CODES[dtype]
        shape = _sizes(entry.size)
        chunks = []
        for each in entry.chunks:
            start = _sizes(each.offsets)
            info = places[name, start]
            chunks.append(_chunk(index, info, code, start, _sizes(each.sizes)))
        found[name] = StoredTensor(name, code, shape, tuple(chunks))
        require_tiled(found[name])
    return found


def _sizes(value: Any) -> tuple[int, ...]:
    """A ``torch.Size`` as it comes out of an inert pickle."""
    sizes = value.arguments[0] if isinstance(value, Inert) and value.arguments else value or ()
    if isinstance(sizes, Inert) or not all(type(n) is int and 0 <= n < 2**62 for n in sizes):
        raise ValueError(f"{value!r} is no size")
    return tuple(sizes)


def _chunk(
    index: Path, info: Any, code: str, start: tuple[int, ...], shape: tuple[int, ...]
) -> Chunk:
    """Where the values of a chunk lie: inside the archive that its entry points to."""
    path = file_beside(index, info.relative_path)
    begin, length = info.offset, info.length
    if type(begin) is not int or type(length) is not int or begin < 0 or length < 0:
        raise ValueError("an entry lies nowhere")
    if info.fields.get("transform_descriptors"):
        raise InputError("its files are compressed or encrypted, which is not read here",
                         where=str(index))  # fmt: skip
    if begin + length > path.stat().st_size:
        raise InputError("the index points beyond the end of the file", where=str(path))
    with path.open("rb") as file:
        return _in_archive(file, path, (begin, length), code, start, shape)


def _in_archive(
    file: BinaryIO,
    path: Path,
    span: tuple[int, int],
    code: str,
    start: tuple[int, ...],
    shape: tuple[int, ...],
) -> Chunk:
    try:
        with zipfile.ZipFile(_Span(file, *span)) as archive:
            entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
            described, data = entries["data.pkl"], entries["data/0"]
            if described.file_size > _PICKLE or data.compress_type != zipfile.ZIP_STORED:
                raise ValueError("its archive is none of torch.save")
            tensor = load(archive.read(described), str(path))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, struct.error) as error:
        raise InputError(f"a tensor in it is damaged: {error}", where=str(path)) from error
    storage, first, sizes, strides = _rebuilt(tensor)
    if _sizes(sizes) != shape or _STORAGES.get(storage, code) != code:
        raise ValueError(f"a tensor in {path.name} is not what the index says")
    strides = _sizes(strides)
    reach = first + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    if math.prod(shape) and reach * ITEM_BYTES[code] > data.file_size:
        raise ValueError(f"a tensor in {path.name} reaches beyond its bytes")
    plain = strides == tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    header = span[0] + data.header_offset
    begin = header + _header_bytes(file, header) + first * ITEM_BYTES[code]
    return Chunk(path, begin, start, shape, None if plain else strides)


def _rebuilt(tensor: Any) -> tuple[str, int, Any, Any]:
    """Storage type, offset, sizes and strides from the inert call that would rebuild a tensor."""
    if tensor.kind == "_rebuild_parameter":
        tensor = tensor.arguments[0]
    if tensor.kind != "_rebuild_tensor_v2":
        raise ValueError(f"a tensor is made by {tensor.kind}")
    reference, first, sizes, strides = tensor.arguments[:4]
    if type(first) is not int or first < 0:
        raise ValueError("a tensor starts nowhere")
    return str(reference.arguments[0][1].kind), first, sizes, strides


def _header_bytes(file: BinaryIO, at: int) -> int:
    """Length of a zip entry's local header, behind which its data starts."""
    file.seek(at)
    signature, name, extra = struct.unpack("<4s22xHH", file.read(30))
    if signature != b"PK\x03\x04":
        raise ValueError("an archive is damaged")
    return 30 + int(name) + int(extra)


class _Span(BytesIO):
    """[begin, begin + length) of a file, as a file of its own; nothing is read ahead."""

    def __init__(self, file: BinaryIO, begin: int, length: int) -> None:
        super().__init__()
        self._file, self._begin, self._length, self._at = file, begin, length, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (0, self._at, self._length)[whence]
        if self._at < 0:
            raise OSError(22, "before the start")
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(self._length - self._at, 0)
        count = rest if size is None or size < 0 else min(size, rest)
        self._file.seek(self._begin + self._at)
        found = self._file.read(count)
        self._at += len(found)
        return found
