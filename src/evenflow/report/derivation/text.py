"""A derivation for the terminal: a table by module."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from evenflow.graph.fluctuation import Interval
from evenflow.graph.moments import Moments
from evenflow.report.derivation.report import DerivationReport
from evenflow.report.derivation.rows import (
    ModuleRow,
    coverage,
    module_rows,
    tensor_rows,
)
from evenflow.report.words import figure, many, printable, short

if TYPE_CHECKING:
    from rich.console import Group

MOST_ROWS = 60


def to_text(report: DerivationReport, depth: int = 3, width: int = 100) -> str:
    """The table as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(renderable(report, depth))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def renderable(report: DerivationReport, depth: int = 3) -> Group:
    """The table for a rich Console; ``depth`` is how many parts of module names are told apart."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = tensor_rows(report.derivation)
    modules = module_rows(rows, depth)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("module", overflow="fold", min_width=12)
    table.add_column("operation", overflow="fold", min_width=9)
    for title in ("E[x²]", "draws", "E[δ²]", "draws", "s_B/q", "s_T/q"):
        table.add_column(Text(title), justify="right", no_wrap=True)
    shown = _shown(modules)
    for row in shown:
        table.add_row(*_cells(row))
    said = [Text.assemble(("evenflow derive ", "dim"), (short(report.title), "bold")), Text("")]
    if len(shown) < len(modules):
        said.append(Text(f"{len(shown)} of {len(modules)} modules, evenly spread", style="dim"))
    ending = [Text(""), Text(words_of_coverage(report), style="dim"), Text(_LEGEND, style="dim")]
    ending += [Text(f"! {printable(note)}", style="yellow") for note in report.notes]
    return Group(*said, table, *ending)


_LEGEND = (
    "E[x²]: second moment; E[δ²]: that of its gradient; draws: nine in ten draws of the weights "
    "are within this factor; s_B/q, s_T/q: how alike two examples, two positions of one, are"
)


def _shown(modules: list[ModuleRow]) -> list[ModuleRow]:
    if len(modules) <= MOST_ROWS:
        return modules
    last = len(modules) - 1
    return [modules[round(place * last / (MOST_ROWS - 1))] for place in range(MOST_ROWS)]


def _cells(row: ModuleRow) -> list[str]:
    last = row.last
    marks = "".join(("~" if row.sampled else "", "?" if row.unknown else ""))
    return [
        short(row.layer or "(top)", 40) + (f" {marks}" if marks else ""),
        short(last.op, 22),
        _second(last.forward),
        _between(last.forward_interval),
        _second(last.backward),
        _between(last.backward_interval),
        share(last.forward, "examples"),
        share(last.forward, "positions"),
    ]


def _second(moments: Moments | None) -> str:
    return figure(moments.second) if moments is not None else "?"


def _between(interval: Interval | None) -> str:
    if interval is None or interval[0] <= 0:
        return ""
    return f"×÷{figure((interval[1] / interval[0]) ** 0.5)}"


def share(moments: Moments | None, what: str) -> str:
    """How alike two "examples" or "positions" are; "" where there is but one."""
    if moments is None or moments.second <= 0:
        return ""
    roles = {atom.role for axis in moments.axes for atom in axis}
    if what not in roles:
        return ""
    shared = moments.shared_examples if what == "examples" else moments.shared_positions
    return f"{max(shared / moments.second, 0.0):.2f}"


def words_of_coverage(report: DerivationReport) -> str:
    """How many operations follow a rule, and which do not."""
    by_rule, sampled, unknown = coverage(report.derivation)
    total = by_rule + sampled + unknown
    words = f"{by_rule} of {many(total, 'operation')} by rule ({by_rule / max(total, 1):.1%})"
    if sampled:
        words += f", {sampled} sampled (~)"
    if unknown:
        words += f", {unknown} unknown (?)"
    return words
