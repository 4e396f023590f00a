"""Standard output carries the result alone; progress is shown on standard error."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from evenflow.planning.plan import Plan, grouped_rows

if TYPE_CHECKING:
    from evenflow.report.report import Report


def print_report(report: Report, form: str) -> None:
    """The report on standard output, as wide and as colourful as a terminal there allows."""
    from evenflow.report import render, renderable

    if form == "text" and in_terminal():
        Console(highlight=False).print(renderable(report))
    else:
        click.echo(render(report, form), nl=False)


def print_plan(plan: Plan) -> None:
    """The plan on standard output; a terminal has its reasons wrapped in a column of their own."""
    if not in_terminal():
        click.echo(str(plan))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("parameter", overflow="fold", max_width=32)
    table.add_column("distribution", no_wrap=True)
    table.add_column("why")
    for row in grouped_rows(plan):
        table.add_row(*map(Text, row))
    notes = [Text(f"• {note}") for note in plan.notes]
    title = Text(f"Plan · scheme {plan.scheme} · {len(plan)} parameters\n", "bold")
    Console(highlight=False).print(title, table, *([Text(), *notes] if notes else []), sep="\n")


def in_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def console() -> Console:
    """The console of standard error, as it is now."""
    return Console(stderr=True, highlight=False)


@contextlib.contextmanager
def working(doing: str) -> Iterator[None]:
    """Say what takes a moment; what the user's own code prints goes to standard error too."""
    with contextlib.redirect_stdout(sys.stderr), console().status(doing):
        yield


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int, float], None]]:
    """One bar for each thing that is being done; yields the function that moves them."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    tasks: dict[str, TaskID] = {}
    with (
        contextlib.redirect_stdout(sys.stderr),
        Progress(*columns, console=console()) as bars,
    ):

        def move(stage: str, done: int, of: int, loss: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=of, loss="")
            said = "" if math.isnan(loss) else f"loss {loss:.3g}"
            bars.update(tasks[stage], completed=done, loss=said)

        yield move


@contextlib.contextmanager
def byte_progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """One bar for bytes, with speed and remaining time; yields what is told of bytes done and of
    how many there are.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console()) as bars:
        task = bars.add_task(doing, total=None)
        yield lambda done, of: bars.update(task, advance=done, total=of)
