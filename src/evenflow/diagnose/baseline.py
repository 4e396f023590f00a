"""Baseline: has a model's signal profile moved since it was stored?

A profile holds, for every operation, the second moments of its output and of the gradient that
comes back to it, as the mean and the scatter of their logarithms over several seeds. A model has
moved where a new measurement lies outside its interval.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from evenflow.atomic import write_bytes
from evenflow.diagnose.finding import Diagnosis, Finding, Level, RuleOutcome
from evenflow.diagnose.rule import Explained
from evenflow.diagnose.words import figure
from evenflow.errors import InputError
from evenflow.record.record import Record

VERSION = 1
"""Version of the file; another is refused."""
SEEDS = 5
"""Measurements that a profile is made of."""
_FORMAT = "evenflow-profile"
_SIGMAS = 5.0
_FLOOR = math.log(1.02)
"""Least half-width of an interval: two machines may round differently."""


class Interval(msgspec.Struct, frozen=True):
    """Mean and scatter of a second moment's logarithm; NaN where it is no number above 0."""

    mean: float
    scatter: float

    @property
    def reach(self) -> float:
        """Half the interval's width: five standard deviations of a new draw about this mean."""
        return max(_SIGMAS * self.scatter * math.sqrt(1 + 1 / SEEDS), _FLOOR)

    def holds(self, value: float) -> bool:
        """Whether a second moment lies inside; 0 and NaN only where they were stored."""
        log = _log(value)
        if math.isnan(self.mean) or math.isnan(log):
            return math.isnan(self.mean) == math.isnan(log)
        return abs(log - self.mean) <= self.reach

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "no number above 0"
        ends = (math.exp(self.mean + sign * self.reach) for sign in (-1, 1))
        return " to ".join(figure(end) for end in ends)


class Profile(msgspec.Struct, frozen=True):
    """The stored profile of a model."""

    model: str
    forward: dict[str, Interval]
    """By the operation's name in the graph."""
    backward: dict[str, Interval]
    format: str = _FORMAT
    version: int = VERSION


def profile(records: Sequence[Record]) -> Profile:
    """The profile of one model from Records of several seeds."""
    first = records[0]
    forward: dict[str, list[float]] = {}
    backward: dict[str, list[float]] = {}
    for record in records:
        for layer in record.layers:
            forward.setdefault(layer.node, []).append(_log(layer.forward.second_moment))
            if layer.backward is not None:
                backward.setdefault(layer.node, []).append(_log(layer.backward.second_moment))
    return Profile(
        first.model,
        {name: _interval(logs) for name, logs in forward.items()},
        {name: _interval(logs) for name, logs in backward.items()},
    )


def save(stored: Profile, path: str | os.PathLike[str]) -> None:
    """Write a profile as JSON, whole or not at all."""
    plain = msgspec.to_builtins(stored)
    for way in ("forward", "backward"):
        for interval in plain[way].values():
            interval.update({k: None for k, v in interval.items() if math.isnan(v)})
    write_bytes(Path(path), msgspec.json.format(msgspec.json.encode(plain), indent=1))


def load(path: str | os.PathLike[str]) -> Profile:
    """Read what ``save`` wrote; InputError for anything else."""
    where = os.fspath(path)
    try:
        plain = msgspec.json.decode(Path(path).read_bytes())
        if not isinstance(plain, dict) or plain.get("format") != _FORMAT:
            raise InputError("this is no profile of evenflow", where=where)
        if plain.get("version") != VERSION:
            raise InputError(
                f"the profile has version {plain.get('version')}, this evenflow reads {VERSION}",
                where=where,
                remedy="store it again: delete the file, and run the check once",
            )
        for way in ("forward", "backward"):
            for interval in plain[way].values():
                interval.update({k: math.nan for k, v in interval.items() if v is None})
        return msgspec.convert(plain, Profile)
    except OSError as error:
        raise InputError(f"the profile cannot be read: {error.strerror}", where=where) from error
    except (msgspec.MsgspecError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(f"the profile is damaged: {error}", where=where) from error


class ProfileMoved(Explained):
    """The model's signal profile has moved since it was stored.

    A change of a width, an activation, an initialisation or a normalisation shows in the second
    moments of everything after it, long before it shows in an accuracy.

    Measured: the second moment of every operation's output and gradient, beside the interval that
    five seeds gave when the profile was stored: the mean logarithm ± five standard deviations, and
    never less than 2 %.

    Error at the first operation outside; the others are named with it. Error too where operations
    have come or gone.

    Remedy: if the change was meant, delete the profile and store it again; if not, look at what
    was changed before that operation.
    """

    code: ClassVar[str] = "EF901"
    name: ClassVar[str] = "profile-moved"
    level: ClassVar[Level] = "error"

    def compare(self, stored: Profile, record: Record) -> list[Finding]:
        """At most one finding for each way, and one for operations that came or went."""
        return [
            *self._changed(stored, record),
            *self._moved(stored.forward, record, "output"),
            *self._moved(stored.backward, record, "gradient"),
        ]

    def _changed(self, stored: Profile, record: Record) -> list[Finding]:
        now = {layer.node for layer in record.layers}
        gone = [name for name in stored.forward if name not in now]
        come = [layer.node for layer in record.layers if layer.node not in stored.forward]
        if not gone and not come:
            return []
        said = [f"{len(come)} operations have come"] * bool(come)
        said += [f"{len(gone)} have gone"] * bool(gone)
        return [self._found((come or gone)[0], ", ".join(said), "the same operations", come + gone)]

    def _moved(self, stored: dict[str, Interval], record: Record, what: str) -> list[Finding]:
        moved = []
        layers = record.layers if what == "output" else record.layers[::-1]
        for layer in layers:
            now = layer.forward if what == "output" else layer.backward
            interval = stored.get(layer.node)
            if now is None or interval is None or interval.holds(now.second_moment):
                continue
            moved.append((layer.layer or layer.node, now.second_moment, interval))
        if not moved:
            return []
        where, value, interval = moved[0]
        others = [name for name, *_ in moved[1:]]
        measured = f"a second moment of its {what} of {figure(value)}"
        return [self._found(where, measured, str(interval), others)]

    def _found(self, where: str, measured: str, expected: str, others: Sequence[str]) -> Finding:
        return self.finding(
            "error",
            where=where,
            others=tuple(dict.fromkeys(name for name in others if name != where)),
            measured=measured,
            expected=expected,
            why="The model is initialised, or computes, otherwise than when this was stored.",
            remedy="if that was meant, delete the profile and store it again; if not, look at "
            "what was changed before this place",
        )


def gated(diagnosis: Diagnosis, record: Record, stored: Profile) -> Diagnosis:
    """The same diagnosis with one outcome more: whether the profile has moved."""
    rule = ProfileMoved()
    outcome = RuleOutcome(rule.code, rule.name, tuple(rule.compare(stored, record)))
    return Diagnosis((*diagnosis.outcomes, outcome))


def _log(value: float) -> float:
    return math.log(value) if value > 0 and math.isfinite(value) else math.nan


def _interval(logs: Sequence[float]) -> Interval:
    known = [log for log in logs if not math.isnan(log)]
    if len(known) < len(logs) or not known:
        return Interval(math.nan, math.nan)
    mean = math.fsum(known) / len(known)
    squares = math.fsum((log - mean) ** 2 for log in known)
    return Interval(mean, math.sqrt(squares / max(1, len(known) - 1)))
