"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenflow.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty temporary file beside ``path``, to write to; it takes the place of ``path`` in one
    step when the block ends well.

    Raises ``InputError`` when the folder cannot be written or the disk is full. Whatever fails,
    ``path`` is then as it was and nothing is left behind.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "rb") as file:
            yield Path(temporary)
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise _refused("file cannot be written", path, error) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step, as ``replacing`` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """``write_bytes`` for text, as UTF-8."""
    write_bytes(path, content.encode())


def make_folder(path: Path) -> None:
    """Make sure that the folder ``path`` is there; ``InputError`` if it can't be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused("folder cannot be made", path, error) from error


def _refused(what: str, path: Path, error: OSError) -> InputError:
    return InputError(
        f"the {what}: {error.strerror or error}",
        where=str(path),
        remedy="choose a folder that you may write to and that has room",
    )
