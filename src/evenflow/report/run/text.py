"""A training in words: headline, key figures, and the report for a terminal."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from evenflow.diagnose.finding import Diagnosis
from evenflow.record.run import Run
from evenflow.report.summary import KeyFigure
from evenflow.report.words import figure, many

if TYPE_CHECKING:
    from rich.console import Group


def headline(run: Run, diagnosis: Diagnosis) -> str:
    """The verdict in a sentence: the root cause, and how much follows from it or stands beside."""
    findings = diagnosis.findings
    if not findings:
        return f"Nothing wrong in {many(run.total_steps, 'step')}."
    worst = findings[0]
    said = worst.name.replace("-", " ").capitalize()
    said = said if worst.where in ("", "model") else f"{said} at {worst.where}"
    follow = sum(finding.follows != "" for finding in findings)
    beside = len(findings) - 1 - follow
    parts = [
        f"{many(number, 'finding')} {what}"
        for number, what in ((follow, "following from it"), (beside, "beside it"))
        if number
    ]
    return f"{said}, {' and '.join(parts)}." if parts else f"{said}."


def facts(run: Run) -> list[KeyFigure]:
    """The few numbers that tell where a training stands."""
    found = [
        KeyFigure("Steps", str(run.total_steps), "finished" if run.finished else "not finished"),
        KeyFigure(
            "Samples",
            str(len(run.steps)),
            "each step" if run.every == 1 else f"one in {run.every} steps, thinned when many",
        ),
    ]
    known = run.loss[np.isfinite(run.loss)]
    if len(known):
        found.append(
            KeyFigure("Loss", figure(float(known[-1])), f"{figure(float(known[0]))} at first")
        )
    if len(run.steps) and np.isfinite(run.norm_after[-1]):
        found.append(
            KeyFigure("Gradient norm", figure(float(run.norm_after[-1])), "at the last sample")
        )
    ratios = run.gradients["update_ratio"]
    ratios = ratios[-1][np.isfinite(ratios[-1])] if len(run.steps) else ratios
    if len(ratios):
        found.append(KeyFigure("‖ΔW‖/‖W‖", figure(float(np.median(ratios))), "median over weights"))
    saturated = run.forward["saturated_share"]
    if len(run.steps) and np.isfinite(saturated[-1]).any():
        worst = float(np.nanmax(saturated[-1]))
        place = run.layers[int(np.nanargmax(saturated[-1]))].name
        found.append(KeyFigure("Most saturated", f"{100 * worst:.0f} %", f"layer {place}"))
    return found


def run_text(run: Run, diagnosis: Diagnosis, title: str, width: int = 80) -> str:
    """The run as plain text, ``width`` columns wide."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, highlight=False
    )
    with console.capture() as captured:
        console.print(run_renderable(run, diagnosis, title))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def run_renderable(run: Run, diagnosis: Diagnosis, title: str) -> Group:
    """The run for a rich Console."""
    from rich.console import Group
    from rich.text import Text

    from evenflow.report.text import fact_table, findings_renderable

    level = diagnosis.findings[0].level if diagnosis.findings else "clean"
    style = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}.get(level, "green")
    mark = {"error": "✕", "warning": "!", "note": "i"}.get(level, "✓")
    return Group(
        Text("evenflow run of ", "dim") + Text(title, "bold"),
        Text(),
        Text(f"{mark} {headline(run, diagnosis)}", style),
        Text(),
        fact_table(facts(run)),
        *findings_renderable(diagnosis),
    )


def loss_of(run: Run) -> float:
    """The latest loss; NaN where none was given."""
    known = run.loss[~np.isnan(run.loss)]
    return float(known[-1]) if len(known) else math.nan
