"""Table 1: test errors of five models with five hidden layers on four data sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import MODELS, results, training, wanted
from evenflow.study.glorot2010.scales import COLUMNS, Scale, column
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.significance import LEVEL, Wrong, mcnemar, two_proportions
from evenflow.study.trial import Trial

PUBLISHED = {
    "Softsign": (16.27, 1.64, 55.78, 69.14),
    "Softsign N": (16.06, 1.72, 53.8, 68.13),
    "Tanh": (27.15, 1.76, 55.9, 70.58),
    "Tanh N": (15.60, 1.64, 52.92, 68.57),
    "Sigmoid": (82.61, 2.21, 57.28, 70.66),
}
"""Test errors in per cent, in the order of ``COLUMNS``."""
BOLD = {
    "shapeset": ("Softsign", "Softsign N", "Tanh N"),
    "mnist": ("Softsign", "Softsign N", "Tanh", "Tanh N"),
    "cifar10": ("Softsign N", "Tanh N"),
    "small-imagenet": ("Softsign", "Softsign N", "Tanh N"),
}
"""Which of them the paper prints bold: they differ from the others at p = 0.005."""
PLATEAU = 83.33
"""The error on Shapeset, in per cent, of always guessing the commonest class."""

Cell = list[tuple[Trial, Arrays]]
"""The trials of one model on one data set at its best rate, the first seed first."""


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """Every model on every data set, at every rate and then at every seed."""
    for data in scale.data:
        yield from wanted(MODELS, data, scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """The table with both tests, and what it says."""
    cells = {
        (model.name, data): results(model, data, scale, lookup)
        for model in MODELS
        for data in scale.data
    }
    tables = [_errors(scale, cells), _rates(scale, cells, lookup)]
    tables += [
        _pairs(data, cells) for data in scale.data if any(cells[m.name, data] for m in MODELS)
    ]
    return Section(
        name="table1",
        title="Table 1: test errors with five hidden layers",
        shows="Normalized initialisation closes most of the gap between tanh and softsign; sigmoid "
        "networks of this depth hardly learn Shapeset at all: 82.61 % is nearly the 83.33 % of "
        "always guessing the commonest class.",
        tables=tables,
        findings=_findings(scale, cells),
        scaled=scale.reduced(),
        data={
            f"{name} on {data}": {
                "published": PUBLISHED[name][column(data)],
                "rate": cell[0][0].rate,
                "errors": [100 * float(result["test_error"][-1]) for _, result in cell],
            }
            for (name, data), cell in cells.items()
            if cell
        },
    )


def _errors(scale: Scale, cells: dict[tuple[str, str], Cell]) -> Table:
    rows = []
    for model in MODELS:
        row = [model.name]
        for data in scale.data:
            published = PUBLISHED[model.name][column(data)]
            mark = "*" if model.name in BOLD[COLUMNS[column(data)]] else ""
            row += [f"{published:.2f}{mark}", *_ours(cells, model.name, data, published)]
        rows.append(row)
    head = ["", *(h for data in scale.data for h in (f"{data}: published", "ours", "difference"))]
    return Table(
        head,
        rows,
        "Test error in %. ± is the standard deviation over seeds. A star: in the paper, bold; in "
        f"ours, not different from the best of the column at p = {LEVEL} by McNemar's test on the "
        "first seed. – : not trained.",
    )


def _ours(
    cells: dict[tuple[str, str], Cell], name: str, data: str, published: float
) -> tuple[str, str]:
    cell = cells[name, data]
    if not cell:
        return "–", "–"
    errors = [100 * float(result["test_error"][-1]) for _, result in cell]
    mean = float(np.mean(errors))
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    rivals = {m.name: cells[m.name, data][0][1] for m in MODELS if cells[m.name, data]}
    leader = min(rivals, key=lambda rival: float(rivals[rival]["test_error"][-1]))
    apart = mcnemar(_wrong(rivals[name]), _wrong(rivals[leader])) < LEVEL
    star = "*" if len(rivals) > 1 and not apart else ""
    return f"{mean:.2f}{spread}{star}", f"{mean - published:+.2f}"


def _rates(scale: Scale, cells: dict[tuple[str, str], Cell], lookup: Lookup) -> Table:
    """The learning rate of each model, and of which ones it is the best."""
    rows = []
    for model in MODELS:
        row = [model.name]
        for data in scale.data:
            cell = cells[model.name, data]
            tried = [r for r in scale.rates if lookup(training(model, data, scale, r)) is not None]
            of = ", ".join(f"{rate:g}" for rate in tried)
            row.append(f"{cell[0][0].rate:g} of {of}" if cell else "–")
        rows.append(row)
    return Table(
        ("", *scale.data), rows, "Learning rate with the least validation error, of those tried."
    )


def _pairs(data: str, cells: dict[tuple[str, str], Cell]) -> Table:
    """p of every pair of models, by both tests."""
    known = [model for model in MODELS if cells[model.name, data]]
    rows = []
    for one in known:
        row = [one.name]
        for other in known:
            if one is other:
                row.append("")
                continue
            first, second = (_wrong(cells[m.name, data][0][1]) for m in (one, other))
            paired = mcnemar(first, second)
            apart = two_proportions(float(first.mean()), float(second.mean()), len(first))
            row.append(f"{_p(paired)} / {_p(apart)}")
        rows.append(row)
    return Table(
        ["", *(model.name for model in known)],
        rows,
        f"{data}: p that two models err equally often, by McNemar's paired test / by the "
        "two-proportion z-test, on the first seed's networks.",
    )


def _p(value: float) -> str:
    shown = f"{value:.1e}" if value < 1e-3 else f"{value:.3f}"
    return f"{shown}*" if value < LEVEL else shown


def _wrong(result: Arrays) -> Wrong:
    wrong: Wrong = result["wrong"][0].astype(np.bool_)
    return wrong


def _findings(scale: Scale, cells: dict[tuple[str, str], Cell]) -> list[Finding]:
    findings = []
    plain, normal = cells["Tanh", "shapeset"], cells["Tanh N", "shapeset"]
    if plain and normal:
        first, second = _wrong(plain[0][1]), _wrong(normal[0][1])
        p = mcnemar(first, second)
        better = second.mean() < first.mean()
        findings.append(
            judged(
                scale,
                f"Tanh N beats tanh on Shapeset (p < {LEVEL}).",
                bool(better and p < LEVEL),
                f"{100 * second.mean():.2f} % against {100 * first.mean():.2f} %, p = {_p(p)}",
            )
        )
    sigmoid: Cell = cells["Sigmoid", "shapeset"]
    if sigmoid:
        error = 100 * float(sigmoid[0][1]["test_error"][-1])
        findings.append(
            judged(
                scale,
                "Sigmoid with five hidden layers stays near the plateau of the priors.",
                abs(error - PLATEAU) < 2,
                f"{error:.2f} %, the plateau is at {PLATEAU} %",
            )
        )
    return findings


EXHIBIT = Exhibit("table1", "test errors with five hidden layers on four data sets", wants, draw)
