"""Standard output carries the result alone; progress is shown on standard error."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from evenflow.report.report import Report


def print_report(report: Report, form: str) -> None:
    """The report on standard output, as wide and as colourful as a terminal there allows."""
    from evenflow.report import render, renderable

    if form == "text" and sys.stdout.isatty():
        Console(highlight=False).print(renderable(report))
    else:
        click.echo(render(report, form), nl=False)


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
