"""Plans on disk: JSON with a schema version, read strictly: a stranger may have written it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from evenflow.atomic import write_text
from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    Simple,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan, _check_blocks

VERSION = 1
_KINDS: dict[str, type[Simple]] = {
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "orthogonal": Orthogonal,
    "delta_orthogonal": DeltaOrthogonal,
    "constant": Constant,
}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    distribution: dict[str, Any] | None
    why: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    evenflow_plan: int
    scheme: str
    parameters: dict[str, _Entry]
    notes: tuple[str, ...] = ()
    seed: int | None = None


class _Head(msgspec.Struct):
    evenflow_plan: int


def to_json(plan: Plan) -> str:
    """The plan as indented JSON."""
    file = _File(
        VERSION,
        plan.scheme,
        {
            name: _Entry(e.shape, fields_of(e.distribution), e.why)
            for name, e in plan.entries.items()
        },
        plan.notes,
        plan.seed,
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=2).decode() + "\n"


def fields_of(distribution: Distribution | None) -> dict[str, Any] | None:
    """A distribution in JSON's own types."""
    if distribution is None:
        return None
    built: dict[str, Any] = msgspec.to_builtins(distribution)
    return built


def from_json(text: str | bytes, where: str = "plan") -> Plan:
    """Read a plan; raises ``PlanError`` that says what is wrong and at which place."""
    try:
        version = msgspec.json.decode(text, type=_Head).evenflow_plan
        if version != VERSION:
            raise PlanError(
                f"the plan has version {version}; this evenflow reads version {VERSION}",
                where=where,
                remedy="make the plan anew, or install the evenflow that wrote it",
            )
        file = msgspec.json.decode(text, type=_File)
        _check(file, where)
        entries = {name: _entry(name, entry) for name, entry in file.parameters.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(
            f"this is no plan: {error}", where=where, remedy="write one with Plan.save"
        ) from error
    return Plan(file.scheme, entries, file.notes, file.seed)


def _check(file: _File, where: str) -> None:
    """What the types cannot say: a seed of 64 bits, and nothing that a terminal would obey."""
    if file.seed is not None and not 0 <= file.seed < 2**64:
        raise PlanError(f"the seed {file.seed} is not from 0 to 2**64 - 1", where=where)
    whys = (entry.why for entry in file.parameters.values())
    for text in (file.scheme, *file.notes, *file.parameters, *whys):
        if not text.isprintable():
            raise PlanError(f"{text!r} holds control characters", where=where)


def _entry(name: str, entry: _Entry) -> Entry:
    distribution = None if entry.distribution is None else _decoded(name, entry.distribution)
    _check_blocks(name, entry.shape, distribution)
    return Entry(entry.shape, distribution, entry.why)


def _decoded(name: str, fields: dict[str, Any]) -> Distribution:
    kind = fields.get("kind")
    try:
        if kind == "blocks":
            parts = fields.get("parts")
            plain = {k: v for k, v in fields.items() if k not in ("parts", "kind")}
            if not isinstance(parts, list) or set(plain) != {"axis", "sizes"}:
                raise PlanError("blocks need axis, sizes and parts, and nothing else", where=name)
            return Blocks(
                axis=msgspec.convert(plain["axis"], int),
                sizes=msgspec.convert(plain["sizes"], tuple[int, ...]),
                parts=tuple(simple_from(name, part) for part in parts),
            )
        return simple_from(name, fields)
    except (msgspec.ValidationError, InputError) as error:
        raise PlanError(f"the distribution cannot be used: {error}", where=name) from error


def simple_from(name: str, fields: Any) -> Simple:
    """The distribution that ``fields`` describe, if it is one of a single block.

    Raises ``PlanError`` for fields that are no distribution's, ``msgspec.ValidationError`` for
    values of another type, ``InputError`` for values out of range.
    """
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise PlanError(
            f"there is no distribution {kind!r}",
            where=name,
            remedy=f"known: {', '.join([*_KINDS, 'blocks'])}",
        )
    known = set(_KINDS[kind].__dataclass_fields__)
    if extra := sorted(set(fields) - known):
        raise PlanError(f"{kind} has no field {extra[0]!r}", where=name)
    return msgspec.convert(fields, _KINDS[kind])


def save(plan: Plan, path: Path) -> None:
    """Write the plan to ``path`` atomically."""
    write_text(path, to_json(plan))


def load(path: Path) -> Plan:
    """Read the plan at ``path``."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"the plan cannot be read: {error.strerror}", where=str(path)) from error
    return from_json(text, where=str(path))
