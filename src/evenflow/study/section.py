"""What a study shows: sections of pictures and of tables with published numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evenflow.report.pictures import Picture
from evenflow.study.kinds import AnyTrial
from evenflow.study.runner import Lookup


class Finding(NamedTuple):
    """One statement of the paper, and whether ours bears it out."""

    claim: str
    holds: bool | None
    """None where it could not be tested at this scale."""
    ours: str
    """What was found, with the likely cause where it differs."""


@dataclass(frozen=True)
class Table:
    """Rows of words under a head; the first column names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A figure or a table of the paper, as far as its trials are done."""

    name: str
    title: str
    shows: str
    """What the paper shows here, in our words."""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    findings: Sequence[Finding] = ()
    scaled: Sequence[str] = ()
    """What was scaled down, or stands in for something else."""
    data: dict[str, Any] = field(default_factory=dict)
    """The numbers behind it, for the JSON file."""


@dataclass(frozen=True)
class Exhibit:
    """One figure or table by name: the trials it wants, and how it is drawn from their results."""

    name: str
    title: str
    wants: Callable[[Any, Lookup], Iterable[AnyTrial]]
    """``wants(scale, lookup)``: its trials, given what is known so far."""
    draw: Callable[[Any, Lookup], Section]
    """``draw(scale, lookup)``: the section, from the results that there are."""
