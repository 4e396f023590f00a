"""The page of a derivation: both profiles, and for every tensor the sentence it follows from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evenflow.report.derivation.charts import profiles
from evenflow.report.derivation.report import DerivationReport
from evenflow.report.derivation.rows import TensorRow, coverage, tensor_rows
from evenflow.report.derivation.text import share, words_of_coverage
from evenflow.report.offline import offline_page
from evenflow.report.words import figure, shape

MOST_TENSORS = 1500
"""Rows of the page; of a longer network the first ones, and so it is said."""


@dataclass(frozen=True)
class _Module:
    name: str
    rows: tuple[dict[str, Any], ...]
    open: bool


def to_html(report: DerivationReport) -> str:
    """The derivation as one self-contained HTML document, readable offline."""
    rows = tensor_rows(report.derivation)
    shown = rows[:MOST_TENSORS]
    places = {row.name: row.depth for row in shown}
    charts = profiles(rows)
    by_rule, sampled, unknown = coverage(report.derivation)
    return offline_page(
        "derivation.html",
        title=report.title,
        versions=report.versions,
        charts=charts,
        drawn=[name for name in ("forward", "backward") if name in charts],
        modules=list(_modules(shown, places)),
        hidden=len(rows) - len(shown),
        notes=report.notes,
        coverage=words_of_coverage(report),
        tiles=[
            ("operations by rule", f"{by_rule}", f"of {by_rule + sampled + unknown}"),
            *_ends(rows),
        ],
        command=report.command,
    )


def _ends(rows: list[TensorRow]) -> Iterator[tuple[str, str, str]]:
    """What goes in and what comes out, in both directions."""
    ahead = [row for row in rows if row.forward is not None]
    behind = [row for row in rows if row.backward is not None]
    for name, each, of in (
        ("at the output, E[x²]", ahead[-1:], "forward"),
        ("at the first tensor, E[δ²]", behind[:1], "backward"),
    ):
        for row in each:
            moments, interval = getattr(row, of), getattr(row, f"{of}_interval")
            between = f"5–95 %: {figure(interval[0])} to {figure(interval[1])}" if interval else ""
            yield name, figure(moments.second), between


def _modules(rows: list[TensorRow], places: dict[str, int]) -> Iterator[_Module]:
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for row in rows:
        parent = row.layer.rpartition(".")[0]
        if not groups or groups[-1][0] != parent:
            groups.append((parent, []))
        groups[-1][1].append(_cells(row, places))
    for name, members in groups:
        yield _Module(name or "(top of the model)", tuple(members), len(groups) <= 60)


def _cells(row: TensorRow, places: dict[str, int]) -> dict[str, Any]:
    return {
        "depth": row.depth,
        "name": row.name,
        "op": row.op,
        "layer": row.layer,
        "shape": shape(row.shape),
        "source": row.source,
        "forward": figure(row.forward.second) if row.forward else "–",
        "forward_between": _between(row.forward_interval),
        "backward": figure(row.backward.second) if row.backward else "–",
        "backward_between": _between(row.backward_interval),
        "mean": figure(row.forward.mean) if row.forward else "–",
        "examples": share(row.forward, "examples") or "–",
        "positions": share(row.forward, "positions") or "–",
        "forward_sentence": row.forward_sentence,
        "backward_sentence": row.backward_sentence,
        "reads": [(name, places[name]) for name in row.reads if name in places],
        "remark": row.remark,
    }


def _between(interval: tuple[float, float] | None) -> str:
    return f"{figure(interval[0])} – {figure(interval[1])}" if interval else ""
