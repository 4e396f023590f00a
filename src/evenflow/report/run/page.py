"""The page of a training, and the page that sets two side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evenflow.diagnose.finding import Diagnosis
from evenflow.record.run import Run
from evenflow.report.offline import offline_page
from evenflow.report.run.text import facts, headline
from evenflow.report.verdict import counts

if TYPE_CHECKING:
    import altair

    from evenflow.report.pictures import Picture

MARKS = {"clean": "✓", "note": "i", "warning": "!", "error": "✕"}


def run_page(run: Run, diagnosis: Diagnosis, title: str = "") -> str:
    """The run as one self-contained HTML document, readable offline."""
    from evenflow.report.run.at_a_time import frames
    from evenflow.report.run.pictures import run_pictures

    pictures = run_pictures(run)
    shown = frames(run)
    return offline_page(
        "run.html",
        title=title or run.model,
        versions=run.versions,
        charts=_charts(pictures.values()),
        run=run,
        level=diagnosis.findings[0].level if diagnosis.findings else "clean",
        said=headline(run, diagnosis),
        marks=MARKS,
        counts=counts(diagnosis),
        findings=diagnosis.findings,
        tiles=facts(run),
        pictures=pictures,
        steps=[int(run.steps[k]) for k in shown],
        passed=[rule for rule in diagnosis.outcomes if not rule.skipped and not rule.findings],
        skipped=[rule for rule in diagnosis.outcomes if rule.skipped],
    )


def compare_page(
    runs: tuple[Run, Run], diagnoses: tuple[Diagnosis, Diagnosis], titles: tuple[str, str]
) -> str:
    """Two runs side by side."""
    from evenflow.report.run.pictures import compared_pictures

    pictures = compared_pictures(runs, titles)
    return offline_page(
        "run_comparison.html",
        title=" and ".join(titles),
        versions=runs[0].versions,
        charts=_charts([pictures]),
        marks=MARKS,
        sides=[
            {
                "title": title,
                "headline": headline(run, diagnosis),
                "level": diagnosis.findings[0].level if diagnosis.findings else "clean",
                "findings": diagnosis.findings,
                "tiles": facts(run),
            }
            for run, diagnosis, title in zip(runs, diagnoses, titles, strict=True)
        ],
        pictures=pictures,
    )


def _charts(groups: Iterable[list[Picture]]) -> dict[str, altair.LayerChart]:
    pictures = itertools.chain(*groups)
    return {picture.key: picture.chart for picture in pictures if picture.chart is not None}
