"""The Plan: for each parameter its distribution, and why. It can be read, edited, stored, compared.

Making a Plan writes nothing; ``Plan.apply_`` is the one guarded step that does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Blocks, Distribution


@dataclass(frozen=True)
class Entry:
    """What becomes of one parameter."""

    shape: tuple[int, ...]
    distribution: Distribution | None
    """None: the parameter is left as it was found."""
    why: str
    """The reason in a sentence, with its numbers."""


@dataclass
class Plan:
    """Parameter name → Entry, in the model's order, and what is to be known of the whole."""

    scheme: str
    entries: dict[str, Entry]
    notes: tuple[str, ...] = ()
    """The price of the compromise, warnings, what could not be foreseen."""
    seed: int | None = None
    """The seed that it was applied with; None before that."""

    def __getitem__(self, name: str) -> Entry:
        if name not in self.entries:
            raise _unknown(name, self.entries)
        return self.entries[name]

    def __setitem__(self, pattern: str, distribution: Distribution | None) -> None:
        """Set one parameter by name, or all that a glob pattern matches."""
        names = [pattern] if pattern in self.entries else self._matching(pattern)
        for name in names:
            entry = self.entries[name]
            _check_blocks(name, entry.shape, distribution)
            self.entries[name] = replace(entry, distribution=distribution, why="set by hand")

    def _matching(self, pattern: str) -> list[str]:
        names = [name for name in self.entries if fnmatchcase(name, pattern)]
        if not names:
            raise _unknown(pattern, self.entries)
        return names

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def only(self, *patterns: str) -> Plan:
        """The same plan for the parameters that any pattern matches; the rest is left as found."""
        chosen = {name for pattern in patterns for name in self._matching(pattern)}
        entries = {
            name: entry
            if name in chosen
            else replace(entry, distribution=None, why="left as found: not selected")
            for name, entry in self.entries.items()
        }
        return replace(self, entries=entries)

    def apply_(self, model: Any, seed: int | None = None) -> Plan:
        """Write the plan into a PyTorch model; returns the plan with the seed that was used.

        ``seed`` None uses the plan's own, or draws a fresh one. Raises ``PlanError`` if the plan
        was made for another model, naming every difference; then nothing is written.
        """
        from evenflow.torch.apply import apply_

        return apply_(self, model, seed)

    def diff(self, other: Plan) -> PlanDiff:
        """What changes from this plan to ``other``."""
        mine, theirs = self.entries, other.entries
        return PlanDiff(
            removed=tuple(name for name in mine if name not in theirs),
            added=tuple(name for name in theirs if name not in mine),
            changed={
                name: (entry.distribution, theirs[name].distribution)
                for name, entry in mine.items()
                if name in theirs and entry.distribution != theirs[name].distribution
            },
        )

    def save(self, path: str | Path) -> None:
        """Store as JSON, atomically."""
        from evenflow.planning.store import save

        save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Read a stored plan; ``InputError`` or ``PlanError`` if it is no plan that can be used."""
        from evenflow.planning.store import load

        return load(Path(path))

    def __str__(self) -> str:
        lines = [f"Plan · scheme {self.scheme} · {len(self)} parameters", ""]
        rows = grouped_rows(self)
        widths = [max(len(row[i]) for row in rows) for i in range(2)] if rows else [0, 0]
        lines += [f"{n:<{widths[0]}}  {d:<{widths[1]}}  {why}".rstrip() for n, d, why in rows]
        lines += ["", *(f"• {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


@dataclass(frozen=True)
class PlanDiff:
    """The difference of two plans; false when there is none."""

    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: Mapping[str, tuple[Distribution | None, Distribution | None]]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)

    def __str__(self) -> str:
        lines = [f"− {name}" for name in self.removed]
        lines += [f"+ {name}" for name in self.added]
        lines += [f"~ {name}: {_said(a)} → {_said(b)}" for name, (a, b) in self.changed.items()]
        return "\n".join(lines) or "no difference"


def _said(distribution: Distribution | None) -> str:
    return "left as found" if distribution is None else str(distribution)


def rows(plan: Plan) -> list[tuple[str, str, str]]:
    """(name, distribution in words, why) for every parameter."""
    return [(name, _said(e.distribution), e.why) for name, e in plan.entries.items()]


def grouped_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """As ``rows``, but repeated blocks with the same verdict share one: "h.*.bias (×12)"."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in plan.entries.items():
        pattern = re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
        groups.setdefault((pattern, _said(entry.distribution), entry.why), []).append(name)
    return [
        (names[0] if len(names) == 1 else f"{pattern} (×{len(names)})", said, why)
        for (pattern, said, why), names in groups.items()
    ]


def _unknown(name: str, entries: Mapping[str, Entry]) -> InputError:
    close = difflib.get_close_matches(name, entries, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "print the plan to see its names"
    return InputError(f"no parameter is called or matched by {name!r}", remedy=hint)


def _check_blocks(name: str, shape: tuple[int, ...], distribution: Distribution | None) -> None:
    if isinstance(distribution, Blocks) and (
        distribution.axis >= len(shape) or sum(distribution.sizes) != shape[distribution.axis]
    ):
        raise PlanError(
            f"blocks of {distribution.sizes} along axis {distribution.axis} do not fill the "
            f"shape {shape}",
            where=name,
        )
