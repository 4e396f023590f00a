"""The page of a check: verdict, findings, pictures and tables in one offline HTML file."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenflow.diagnose.finding import Finding
from evenflow.record.audit import Audit
from evenflow.record.record import LayerRecord, WeightRecord
from evenflow.report.layers import flagged, labels, notable, thin
from evenflow.report.offline import offline_page
from evenflow.report.report import Report
from evenflow.report.summary import key_figures
from evenflow.report.tensors import HEADINGS, tensor_rows
from evenflow.report.verdict import counts, outcome, verdict
from evenflow.report.words import figure, percent, shape, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    import altair

    from evenflow.report.pictures import Picture

MOST_LAYERS = 300
"""Rows of the tables of layers, weights and plan, and choices of the selector."""
MOST_CARDS = 3
"""Findings of one rule that get a card of their own; the others stand in a table."""
MOST_PLACES = 100

_MARKS = {"clean": "✓", "note": "i", "warning": "!", "error": "✕"}


def to_html(report: Report) -> str:
    """The report as one self-contained HTML document, readable offline, under 2 MB.

    Of very deep networks the pictures and tables show a part, evenly spread, and say so.
    """
    from evenflow.report.pictures import comparison_pictures, signal_pictures

    pictures = {
        "signal": signal_pictures(report.record),
        "comparison": comparison_pictures(report.comparison) if report.comparison else [],
    }
    outcomes = report.diagnosis.outcomes
    return offline_page(
        "check.html",
        title=report.title,
        versions=report.versions,
        charts=_charts(itertools.chain(*pictures.values())),
        verdict=verdict(report),
        marks=_MARKS,
        counts=counts(report.diagnosis),
        skipped=[rule for rule in outcomes if rule.skipped],
        passed=[rule for rule in outcomes if not rule.skipped and not rule.findings],
        tiles=key_figures(report.record),
        comparison=report.comparison,
        outcome=outcome(report.comparison) if report.comparison else "",
        groups=_grouped(report.diagnosis.findings),
        pictures=pictures,
        **_tables(report),
        **_stored(report),
        record=report.record,
        command=report.command,
    )


@dataclass(frozen=True)
class _Group:
    """The findings of one rule: some in full, the others in a table, the rest by number."""

    cards: tuple[Finding, ...]
    others: tuple[Finding, ...]
    hidden: int


def _grouped(findings: tuple[Finding, ...]) -> list[_Group]:
    groups = []
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.code, []).append(finding)
    for same in by_rule.values():
        cut = len(same) if len(same) <= MOST_CARDS else 1
        others = same[cut : cut + MOST_PLACES]
        groups.append(_Group(tuple(same[:cut]), tuple(others), len(same) - cut - len(others)))
    return groups


def _charts(pictures: Iterable[Picture]) -> dict[str, altair.LayerChart]:
    return {picture.key: picture.chart for picture in pictures if picture.chart is not None}


def _tables(report: Report) -> dict[str, Any]:
    """Rows of the tables and of the selector, in words."""
    record = report.record
    listed = notable(record, report.diagnosis, MOST_LAYERS)
    names = labels(record.layers)
    named = flagged(record, report.diagnosis)
    return {
        "options": [
            {"depth": layer.depth, "name": short(f"{layer.depth} · {names[layer.node]}", 48)}
            for layer in listed
        ],
        "layers": [
            {
                "depth": layer.depth,
                "name": short(names[layer.node], 60),
                "operation": short(layer.op, 30),
                "shape": shape(layer.shape),
                "flagged": layer.node in named,
                "cells": _layer_cells(layer),
            }
            for layer in listed
        ],
        "unlisted": len(record.layers) - len(listed),
        "weights": [
            {
                "name": short(weight.name, 60),
                "role": short(weight.role, 30),
                "shape": shape(weight.shape),
                "cells": _weight_cells(weight),
            }
            for weight in thin(record.weights, MOST_LAYERS)
        ],
        "plan": report.plan[:MOST_LAYERS],
        "unplanned": max(0, len(report.plan) - MOST_LAYERS),
    }


def _stored(report: Report) -> dict[str, Any]:
    """Rows of the tensors of a checkpoint, where one was read."""
    record = report.record
    if not isinstance(record, Audit):
        return {"tensors": []}
    rows = tensor_rows(record, report.diagnosis, MOST_LAYERS)
    return {
        "tensors": rows,
        "headings": HEADINGS,
        "unlisted_tensors": len(record.stored) - len(rows),
    }


def _layer_cells(layer: LayerRecord) -> list[str]:
    backward = layer.backward.second_moment if layer.backward else math.nan
    return [
        figure(layer.forward.second_moment),
        figure(layer.predicted_forward),
        figure(backward),
        figure(layer.predicted_backward),
        percent(layer.saturated_share),
        percent(layer.dead_share),
        percent(layer.forward.correlation),
        figure(layer.forward.effective_rank),
        figure(layer.jacobian_singular_value),
    ]


def _weight_cells(weight: WeightRecord) -> list[str]:
    gradient = weight.gradient.variance if weight.gradient else math.nan
    return [
        str(weight.fan_in) if weight.fan_in else "–",
        str(weight.fan_out) if weight.fan_out else "–",
        figure(math.sqrt(weight.values.variance)),
        figure(math.sqrt(gradient)),
    ]
