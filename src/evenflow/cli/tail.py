"""``evenflow tail``: follow a training in the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evenflow.record.run import Run

_WAIT = 1.0
"""Seconds between two looks at the run."""


@click.command(short_help="Follow a training that ef.watch records.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Print what is there, and do not wait for more.")
def tail(run: Path, once: bool) -> None:
    """Follow the training whose run is in the folder RUN: a line a sample, and every event.

    It ends with the training, or with Ctrl-C.
    """
    from evenflow.record.run_reader import read

    found = read(run)
    after = int(found.steps[-20]) - 1 if len(found.steps) > 20 else -1
    events = 0
    click.secho(_HEAD, dim=True)
    while True:
        for line, step in _lines(found, after):
            click.echo(line)
            after = step
        for event in found.events[events:]:
            place = f" at {event.place}" if event.place else ""
            click.secho(f"step {event.step}: {event.kind}{place}: {event.detail}", fg="yellow")
        events = len(found.events)
        if once or found.finished or found.happened("interrupted"):
            return
        time.sleep(_WAIT)
        found = read(run)


_HEAD = f"{'step':>9} {'loss':>10} {'rate':>9} {'|grad|':>9} {'update':>9} {'saturated':>9}"


def _lines(run: Run, after: int) -> list[tuple[str, int]]:
    """A line for each sample after a step, and its step."""
    import numpy as np

    from evenflow.diagnose.training.series import middle
    from evenflow.report.words import figure, percent

    updates, saturated = middle(run.gradients["update_ratio"].T), run.forward["saturated_share"]
    lines = []
    for k in np.flatnonzero(run.steps > after):
        worst = saturated[k][np.isfinite(saturated[k])]
        cells = (
            figure(float(run.loss[k])),
            figure(float(run.learning_rate[k])),
            figure(float(run.norm_after[k])),
            figure(float(updates[k])),
            percent(float(worst.max()) if len(worst) else float("nan")),
        )
        widths = (10, 9, 9, 9, 9)
        said = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append((f"{int(run.steps[k]):>9} {said}", int(run.steps[k])))
    return lines
