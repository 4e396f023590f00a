"""``write_checkpoint``: tensors that are drawn, straight to safetensors files.

Every file is written beside its place and takes it in one step, so a folder holds whole files
only, whenever the process is killed. The same command run again finishes it: files that are there
are checked by their checksums and kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenflow.atomic import make_folder, write_bytes
from evenflow.checkpoint.layout import INDEX, Item, Part, index_of, parts_of, said_bytes
from evenflow.checkpoint.part_file import Progress, is_part, is_sound, write_part
from evenflow.errors import InputError

_SPARE = 1 << 20
"""Bytes to leave for headers, the index and the folder itself."""


@dataclass(frozen=True)
class Job:
    """Everything that a folder is to hold, and which of it this host writes."""

    folder: Path
    parts: tuple[Part, ...]
    beside: Mapping[str, bytes]
    """Small files by name: the index, a configuration."""
    host: int
    hosts: int

    @property
    def own(self) -> tuple[Part, ...]:
        """The parts that this host writes."""
        return self.parts[self.host - 1 :: self.hosts]


@dataclass(frozen=True)
class Written:
    """What a call has done."""

    files: tuple[str, ...]
    """Part files that this host has written now."""
    kept: tuple[str, ...]
    """Those of its own that were there already."""
    missing: tuple[str, ...]
    """Those of other hosts that are not there yet."""


def job_for(
    items: Sequence[Item],
    folder: Path,
    *,
    seed: int,
    max_shard_size: int = 5 * 10**9,
    beside: Mapping[str, bytes] | None = None,
    host: tuple[int, int] = (1, 1),
) -> Job:
    """Decide what goes where. Nothing is written or looked at on disk.

    Args:
        items: the tensors in the checkpoint's order.
        folder: where to; hosts that share a folder make one checkpoint together.
        seed: of every value that is drawn.
        max_shard_size: bytes of data in one file at most.
        beside: further small files by name.
        host: (i, n): write the i-th share of n, counted from 1.

    Raises:
        InputError: a tensor is larger than ``max_shard_size``, or there is no such host.
    """
    number, hosts = host
    if not 1 <= number <= hosts:
        raise InputError(
            f"there is no host {number} of {hosts}", remedy="count them from 1: --host 1/4"
        )
    parts = parts_of(items, max_shard_size, seed)
    index = {INDEX: index_of(parts)} if len(parts) > 1 else {}
    return Job(folder, parts, {**index, **(beside or {})}, number, hosts)


def write_checkpoint(job: Job, *, jobs: int = 1, progress: Progress = lambda _: None) -> Written:
    """Write this host's share of the checkpoint, keeping files that are there already.

    The bytes are the same for any number of ``jobs``, which is that of threads. ``progress`` is
    told of bytes as they are written, or checked.

    Raises:
        InputError: the folder holds anything that this job would not have written, or the disk has
            no room for what is missing; then nothing was written.
    """
    _require_own_content(job)
    kept = [part for part in job.own if _is_done(job.folder / part.name, part, jobs, progress)]
    todo = [part for part in job.own if part not in kept]
    _remove_torn(job)
    _require_room(job.folder, todo)
    make_folder(job.folder)
    for part in todo:
        write_part(job.folder / part.name, part, jobs, progress)
    for name, content in job.beside.items():
        write_bytes(job.folder / name, content)
    return Written(
        tuple(part.name for part in todo),
        tuple(part.name for part in kept),
        tuple(part.name for part in job.parts if not (job.folder / part.name).exists()),
    )


def _is_done(path: Path, part: Part, jobs: int, progress: Progress) -> bool:
    return path.exists() and is_sound(path, part, jobs, progress)


def _require_own_content(job: Job) -> None:
    """Refuse a folder with anything in it that this very job would not have written."""
    parts = {part.name: part for part in job.parts}
    if not job.folder.exists():
        return
    if not job.folder.is_dir():
        raise InputError(
            "this is a file, and a checkpoint is a folder",
            where=str(job.folder),
            remedy="give another name to --out",
        )
    for path in sorted(job.folder.iterdir()):
        name = path.name
        if name in parts:
            ours = is_part(path, parts[name])
        elif name in job.beside:
            ours = path.is_file() and path.read_bytes() == job.beside[name]
        else:
            ours = _torn(name, [*parts, *job.beside])
        if not ours:
            raise InputError(
                f"the folder holds {name}, which this command with these options would not write",
                where=str(job.folder),
                remedy="choose another folder, or give the options that the folder was begun with",
            )


def _torn(name: str, targets: Sequence[str]) -> bool:
    """Whether a file is the beginning of one of ``targets``, left behind by a killed process."""
    return any(name.startswith(f".{target}.") for target in targets)


def _remove_torn(job: Job) -> None:
    own = [*(part.name for part in job.own), *job.beside]
    if job.folder.exists():
        for path in job.folder.iterdir():
            if _torn(path.name, own):
                path.unlink(missing_ok=True)


def _require_room(folder: Path, todo: Sequence[Part]) -> None:
    needed = sum(part.size for part in todo) + _SPARE
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if todo and needed > free:
        raise InputError(
            f"the checkpoint needs {said_bytes(needed)} more and the disk has {said_bytes(free)} "
            "free; nothing was written",
            where=str(folder),
            remedy="make room, choose another disk, or a narrower --dtype",
        )
