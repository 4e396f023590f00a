"""Pickles read as mere structure: nothing of theirs is imported, called or constructed.

Every name that a pickle asks for stands for itself: an ``Inert`` that remembers what would have
been done with it. So a hostile pickle makes a harmless tree of such records, which the reader then
finds to be none of those it knows. Names outside a short list are refused at once.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from evenflow.errors import InputError

_METADATA = "torch.distributed.checkpoint.metadata"
_KNOWN = {
    (_METADATA, "Metadata"),
    (_METADATA, "TensorStorageMetadata"),
    (_METADATA, "BytesStorageMetadata"),
    (_METADATA, "ChunkStorageMetadata"),
    (_METADATA, "TensorProperties"),
    (_METADATA, "MetadataIndex"),
    (_METADATA, "StorageMeta"),
    (_METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}
"""What the index and the tensors of torch.distributed.checkpoint are made of, beside ``torch``'s
own types and sizes."""


class Inert:
    """A name from a pickle, and what the pickle would have had done with it."""

    kind = ""
    arguments: tuple[Any, ...]
    fields: dict[str, Any]
    state: Any

    def __new__(cls, *arguments: Any) -> Inert:
        """Made by a call and by ``NEWOBJ`` alike, neither of which does anything."""
        inert = object.__new__(cls)
        inert.arguments, inert.fields, inert.state = arguments, {}, None
        return inert

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state
        if isinstance(state, dict):
            self.fields = state

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name.startswith("__") or name not in fields:
            raise AttributeError(f"there is no {name} in {type(self).kind}")
        return fields[name]

    def __repr__(self) -> str:
        return f"{type(self).kind}{self.arguments}"


class _Mapping(dict[Any, Any]):
    """An ordered dictionary from a pickle."""

    kind = "OrderedDict"


def load(data: bytes, where: str) -> Any:
    """The structure of a pickle; raises ``InputError`` for one that asks for anything unknown."""
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except InputError as error:
        raise InputError(error.what, where=where, remedy=error.remedy) from error
    except Exception as error:  # damaged pickles fail in every way that Python knows
        raise InputError(
            f"it is damaged: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            where=where,
            remedy="save the checkpoint again",
        ) from error


class _Unpickler(pickle._Unpickler):
    """The machine that walks a pickle, with every way out of it closed.

    It is the standard library's own in Python: the one in C makes room for as many values as a
    pickle says it will remember, which can be more than there is memory.
    """

    def find_class(self, module: str, name: str) -> Any:
        """A fresh type of ``Inert`` for a known name."""
        if (module, name) == ("collections", "OrderedDict"):
            return _Mapping
        simple = module == "torch" and name.isidentifier()
        if not simple and (module, name) not in _KNOWN:
            raise InputError(
                f"it asks for {module}.{name}, which no checkpoint needs",
                remedy="do not trust this checkpoint, and do not load it with torch either",
            )
        return type(name, (Inert,), {"kind": name})

    def persistent_load(self, pid: Any) -> Any:
        """A reference to a storage: what it says, and no storage."""
        return Inert(pid)

    def get_extension(self, code: int) -> Any:
        """Extension codes are names in disguise."""
        raise InputError(f"it asks for the extension {code}, which no checkpoint needs")
