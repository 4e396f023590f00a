"""The report for a terminal: verdict, findings and tables, good at 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Diagnosis, Finding
from evenflow.record.audit import Audit
from evenflow.record.record import LayerRecord, Record
from evenflow.report.comparison import Comparison
from evenflow.report.layers import brief, flagged, labels, notable, thin
from evenflow.report.report import PlanRow, Report
from evenflow.report.summary import KeyFigure, key_figures
from evenflow.report.tensors import HEADINGS, tensor_rows
from evenflow.report.verdict import outcome, ratios, verdict
from evenflow.report.words import figure, many, percent, printable, short

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

MOST_LAYERS = 40
"""Rows of the tables of layers and plan."""
MOST_CARDS = 3
"""Findings of one rule that are told in full; the others are one line each."""
MOST_LINES = 10
MOST_PLACES = 6

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue", "clean": "green"}
_MARKS = {"error": "✕", "warning": "!", "note": "i", "clean": "✓"}


def to_text(report: Report, width: int = 80) -> str:
    """The report as plain text, ``width`` columns wide."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, highlight=False
    )
    with console.capture() as captured:
        console.print(renderable(report))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def renderable(report: Report) -> Group:
    """The report for a rich Console, which leaves the colours out where there is no terminal."""
    from rich.console import Group

    parts: list[RenderableType] = [*_head(report)]
    if report.comparison:
        parts += _comparison(report.comparison)
    parts += findings_renderable(report.diagnosis)
    parts += _layers(report.record, report.diagnosis)
    parts += _tensors(report.record, report.diagnosis)
    parts += _plan(report.plan)
    parts += _skipped(report.diagnosis)
    return Group(*parts)


def _head(report: Report) -> Iterator[RenderableType]:
    said = verdict(report)
    yield _line("evenflow check of ", "dim") + _line(short(report.title), "bold")
    yield _line("")
    yield _line(f"{_MARKS[said.level]} {printable(said.headline)}", _STYLES[said.level])
    if said.detail:
        yield _line(printable(said.detail))
    yield _line("")
    yield fact_table(key_figures(report.record))


def fact_table(facts: Iterable[KeyFigure]) -> Table:
    """Key figures, one a line."""
    table = _table()
    for name, value, gloss in facts:
        table.add_row(_line(f"  {name}"), _line(value, "bold"), _line(gloss, "dim"))
    return table


def findings_renderable(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    """The findings, worst first; of many from one rule a few in full."""
    if not diagnosis.findings:
        return
    yield _title("Findings")
    by_rule: dict[str, list[Finding]] = {}
    for finding in diagnosis.findings:
        by_rule.setdefault(finding.code, []).append(finding)
    blocks: list[Iterator[RenderableType]] = []
    for same in by_rule.values():
        cut = len(same) if len(same) <= MOST_CARDS else 1
        blocks += [_finding(finding) for finding in same[:cut]]
        if same[cut:]:
            blocks.append(_further(same[cut:]))
    for number, block in enumerate(blocks):
        if number:
            yield _line("")
        yield from block


def _finding(finding: Finding) -> Iterator[RenderableType]:
    from rich.padding import Padding

    head = _line(f"{_MARKS[finding.level]} {finding.level}", _STYLES[finding.level])
    head += _line(f"  {finding.code} {short(finding.name)}", "bold")
    head += _line(f"  {short(finding.where)}", "cyan")
    if finding.follows:
        head += _line(f"  follows from {finding.follows}", "dim")
    yield head
    table = _table()
    for name, words in (
        ("measured", finding.measured),
        ("expected", finding.expected),
        ("why", finding.why),
        ("also at", _places(finding.others)),
        ("change", finding.remedy),
        ("source", finding.source),
    ):
        if words:
            table.add_row(_line(name, "dim"), _line(printable(words)))
    yield Padding(table, (0, 0, 0, 2))


def _further(findings: list[Finding]) -> Iterator[RenderableType]:
    from rich.padding import Padding

    yield _line(f"  {findings[0].code} {short(findings[0].name)}, further places", "dim")
    table = _table()
    for finding in findings[:MOST_LINES]:
        table.add_row(_line(short(finding.where, 40), "cyan"), _line(printable(finding.measured)))
    yield Padding(table, (0, 0, 0, 4))
    hidden = len(findings) - MOST_LINES
    if hidden > 0:
        yield _line(f"    … and {hidden} more, all in the JSON report", "dim")


def _layers(record: Record, diagnosis: Diagnosis) -> Iterator[RenderableType]:
    if not record.layers:
        return
    listed, named = notable(record, diagnosis, MOST_LAYERS), flagged(record, diagnosis)
    known = labels(record.layers)
    common, names = brief([known[layer.node] for layer in listed], 19)
    yield _title(f"Layers{f' of {short(common, 40)}' if common else ''}, second moments")
    table = _table(header=True, gap=1)
    table.add_column(_line("#"), justify="right", no_wrap=True)
    table.add_column(_line("layer"), no_wrap=True)
    table.add_column(_line("operation"), no_wrap=True)
    for heading in ("E[x²]", "predicted", "E[δ²]", "predicted", "sat."):
        table.add_column(_line(heading), justify="right", no_wrap=True)
    for layer, name in zip(listed, names, strict=True):
        table.add_row(
            str(layer.depth),
            _line(name, "red" if layer.node in named else ""),
            _line(short(layer.op, 10)),
            *_numbers(layer),
        )
    yield table
    legend = "x: the operation's output; δ: the gradient with respect to it; sat.: saturated."
    yield _line(legend, "dim")
    hidden = len(record.layers) - len(listed)
    if hidden:
        yield _line(f"{many(hidden, 'further operation')} in the JSON report.", "dim")


def _tensors(record: Record, diagnosis: Diagnosis) -> Iterator[RenderableType]:
    if not isinstance(record, Audit):
        return
    rows = tensor_rows(record, diagnosis, MOST_LAYERS)
    common, names = brief([row.name for row in rows], 38)
    yield _title(f"Tensors{f' of {short(common, 40)}' if common else ''}")
    table = _table(header=True, gap=1)
    for heading in ("tensor", "shape"):
        table.add_column(_line(heading), no_wrap=True)
    for heading in HEADINGS[:3]:
        table.add_column(_line(heading), justify="right", no_wrap=True)
    for row, name in zip(rows, names, strict=True):
        table.add_row(_line(name, "red" if row.flagged else ""), _line(row.shape), *row.cells[:3])
    yield table
    if hidden := len(record.stored) - len(rows):
        yield _line(f"{many(hidden, 'further tensor')} in the JSON report.", "dim")


def _numbers(layer: LayerRecord) -> list[str]:
    backward = layer.backward.second_moment if layer.backward else float("nan")
    return [
        figure(layer.forward.second_moment),
        figure(layer.predicted_forward),
        figure(backward),
        figure(layer.predicted_backward),
        percent(layer.saturated_share),
    ]


def _comparison(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Before and after")
    yield _line(printable(comparison.change))
    yield _line(outcome(comparison), _STYLES["clean" if comparison.helped else "warning"])
    yield _line("")
    table = _table(header=True)
    for heading in ("", "before", "after"):
        table.add_column(heading, justify="right" if heading else "left")
    trials = (comparison.before, comparison.after)
    forward, backward = zip(*(ratios(trial.record) for trial in trials), strict=True)
    table.add_row("forwards, end to end", *(f"× {figure(ratio)}" for ratio in forward))
    table.add_row("backwards, end to end", *(f"× {figure(ratio)}" for ratio in backward))
    table.add_row("findings", *(str(len(trial.diagnosis.findings)) for trial in trials))
    curves = [trial.curve for trial in trials]
    steps = thin(range(min(len(curve.steps) for curve in curves)), 5)
    for k in steps:
        table.add_row(
            f"loss at step {curves[0].steps[k]}", *(figure(curve.losses[k]) for curve in curves)
        )
    if all(curve.test_accuracies for curve in curves):
        table.add_row("test accuracy", *(f"{100 * c.test_accuracies[-1]:.1f} %" for c in curves))
    yield table


def _plan(plan: tuple[PlanRow, ...]) -> Iterator[RenderableType]:
    if not plan:
        return
    yield _title("Plan")
    table = _table(header=True)
    table.add_column("parameter", max_width=40, overflow="fold")
    table.add_column("distribution", max_width=24, overflow="fold")
    table.add_column("why", overflow="fold")
    for row in plan[:MOST_LAYERS]:
        table.add_row(
            _line(short(row.name)), _line(short(row.distribution)), _line(printable(row.why))
        )
    yield table
    hidden = len(plan) - MOST_LAYERS
    if hidden > 0:
        yield _line(f"{many(hidden, 'further parameter')} in the JSON report.", "dim")


def _skipped(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    skipped = [rule for rule in diagnosis.outcomes if rule.skipped]
    if not skipped:
        return
    yield _title("Rules that could not be applied")
    table = _table()
    for rule in skipped:
        table.add_row(f"  {rule.code}", _line(short(rule.name, 30)), _line(printable(rule.skipped)))
    yield table


def _places(places: tuple[str, ...]) -> str:
    hidden = len(places) - MOST_PLACES
    said = ", ".join(short(place, 40) for place in places[:MOST_PLACES])
    return f"{said} and {hidden} more" if hidden > 0 else said


def _table(header: bool = False, gap: int = 2) -> Table:
    """A table without lines, its columns ``gap`` blanks apart."""
    from rich.table import Table

    return Table(
        box=None, show_header=header, header_style="dim", pad_edge=False, padding=(0, gap, 0, 0)
    )


def _title(words: str) -> Text:
    return _line(f"\n{words}", "bold")


def _line(words: str, style: str = "") -> Text:
    """Words as they are: nothing in them is read as markup."""
    from rich.text import Text

    return Text(words, style=style)
