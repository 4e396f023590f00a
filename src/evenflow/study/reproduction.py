"""A reproduction: exhibits by name, the run that makes their trials, and the page."""

from __future__ import annotations

import difflib
import importlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from evenflow.errors import InputError
from evenflow.study.folder import Folder
from evenflow.study.index import failures
from evenflow.study.kinds import AnyTrial
from evenflow.study.page import write_page
from evenflow.study.runner import Lookup, Settings, Wanted, run_trials
from evenflow.study.section import Exhibit


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked of a study; a result folder remembers it."""

    study: str
    scale: str
    only: tuple[str, ...] = ()
    """Exhibits, by name; all of them if empty."""
    updates: int | None = None
    """In place of the scale's own number."""
    data_sets: tuple[str, ...] = ()
    """In place of the scale's own."""

    def command(self, out: Path, data_dir: str | None = None) -> str:
        """The command that carries it out."""
        words = ["evenflow", "study", "run", self.study, "--scale", self.scale]
        words += ["--only", ",".join(self.only)] if self.only else []
        words += ["--updates", str(self.updates)] if self.updates is not None else []
        words += ["--data-sets", ",".join(self.data_sets)] if self.data_sets else []
        words += ["--data", data_dir] if data_dir else []
        return shlex.join([*words, "--out", str(out)])


@dataclass(frozen=True)
class Reproduction:
    """A study with published results beside its own."""

    name: str
    title: str
    package: str
    """Has a module ``scales`` and one module for each exhibit."""
    exhibits: tuple[str, ...]
    """Names of the exhibits' modules, in the order of the page."""

    def exhibit(self, name: str) -> Exhibit:
        """The exhibit of that name."""
        if name not in self.exhibits:
            close = difflib.get_close_matches(name, self.exhibits, n=1)
            raise InputError(
                f"{self.name} has no figure or table {name!r}",
                remedy=(f"did you mean {close[0]}? " if close else "")
                + f"Known: {', '.join(self.exhibits)}",
            )
        module = importlib.import_module(f"{self.package}.{name}")
        return cast("Exhibit", module.EXHIBIT)

    def scale(self, order: Order) -> Any:
        """The scale that was ordered."""
        scales = importlib.import_module(f"{self.package}.scales")
        return scales.scale(order.scale, order.updates, order.data_sets)

    def chosen(self, order: Order) -> list[Exhibit]:
        """The exhibits that were ordered."""
        return [self.exhibit(name) for name in order.only or self.exhibits]

    def wanted(self, order: Order) -> Wanted:
        """The trials of all exhibits that were ordered."""
        exhibits, scale = self.chosen(order), self.scale(order)

        def wanted(lookup: Lookup) -> Iterator[AnyTrial]:
            for exhibit in exhibits:
                yield from exhibit.wants(scale, lookup)

        return wanted

    def run(self, order: Order, out: Path, settings: Settings) -> None:
        """Carry out the trials; what was ordered is remembered in the folder."""
        wanted = self.wanted(order)
        folder = Folder(out)
        found = folder.index.about("study")
        if found not in (None, self.name):
            raise InputError(
                f"the folder has the results of the study {found}",
                where=str(out),
                remedy="name another folder",
            )
        folder.index.note("study", self.name)
        folder.index.note("data", settings.data_dir or "")
        folder.index.note("order", msgspec.json.encode(order).decode())
        run_trials(out, wanted, settings)

    def report(self, order: Order, out: Path) -> Path:
        """Draw the page from the results that there are; its path."""
        folder = Folder(out)
        scale = self.scale(order)
        progress, whole = _progress(folder, self.wanted(order))
        write_page(
            out,
            name=self.name,
            title=self.title,
            lead=f"Scale {scale.name}: {scale.note}."
            + (f" So far {progress}" if not whole else ""),
            sections=[exhibit.draw(scale, folder.result) for exhibit in self.chosen(order)],
            failed=failures(folder.index.rows()),
            command=order.command(out, folder.index.about("data")),
            notes=[progress],
        )
        return out / "report.html"


def remembered(out: Path) -> Order:
    """What was ordered last in the result folder ``out``."""
    if not (out / "index.sqlite").is_file():
        raise InputError(
            "there are no results of a study here",
            where=str(out),
            remedy="name the folder that was given to `evenflow study run` as --out",
        )
    text = Folder(out).index.about("order")
    try:
        return msgspec.json.decode(text or "", type=Order)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"the folder does not say what was ordered: {error}",
            where=str(out),
            remedy="run the study again with this folder",
        ) from error


def _progress(folder: Folder, wanted: Wanted) -> tuple[str, bool]:
    """How many of the trials are done in words, and whether all are."""
    trials = list(dict.fromkeys(wanted(folder.result)))
    done = sum(folder.result(trial) is not None for trial in trials)
    return f"{done} of {len(trials)} trials are done.", done == len(trials)
