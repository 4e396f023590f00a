"""How far a study has come, as a table that is drawn again while it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from evenflow.cli.console import console

if TYPE_CHECKING:
    from evenflow.study.index import Index, Row

_RECENT = 8
"""Trials under way that are shown by name."""
_SILENT = 60.0
"""Seconds after which a running trial that says nothing is no longer counted on."""


@contextlib.contextmanager
def watching(index: Index) -> Iterator[None]:
    """Show the table on standard error while the block runs; a terminal sees it move."""
    shown = console()
    if not shown.is_terminal:
        yield
        shown.print(table(index.rows()))
        return
    with Live(get_renderable=lambda: table(index.rows()), console=shown, refresh_per_second=1):
        yield


def table(rows: Sequence[Row]) -> Table:
    """Trials under way with their rates, and how much is done and left in all."""
    running = [row for row in rows if row.state == "running"]
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trial", "updates", "a second"):
        grid.add_column(name, justify="left" if name == "trial" else "right")
    for row in running[:_RECENT]:
        grid.add_row(Text(row.label), f"{row.done:,} of {row.of:,}", f"{row.rate:.0f}")
    counts = {
        state: sum(row.state == state for row in rows) for state in ("done", "waiting", "failed")
    }
    said = f"{counts['done']} of {len(rows)} trials done"
    said += f", {counts['failed']} failed" if counts["failed"] else ""
    grid.add_row(Text(said), "", "")
    left = _left(rows)
    if left is not None:
        grid.add_row(Text(f"about {timedelta(seconds=round(left))} left for these"), "", "")
    return grid


def _left(rows: Sequence[Row]) -> float | None:
    """Seconds until the known trials are done, at the rate of those under way; None unknown."""
    now = time.time()
    speed = sum(row.rate for row in rows if row.state == "running" and now - row.changed < _SILENT)
    left = sum(row.of - row.done for row in rows if row.state in ("waiting", "running"))
    return left / speed if speed > 0 and left > 0 else None
