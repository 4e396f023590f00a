"""Table 1: test errors of five models with five hidden layers on four data sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import MODELS, results, training, wanted
from evenflow.study.glorot2010.scales import COLUMNS, TITLES, Scale, column
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
Cells = dict[tuple[str, str], Cell]
"""By name of the model and of the data set."""


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
    tables = [_printed(scale, cells)] if any(cells.values()) else []
    for data in scale.data:
        if any(cells[model.name, data] for model in MODELS):
            tables += [_errors(data, scale, cells, lookup), _pairs(data, cells)]
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
                "errors": _percent(cell),
            }
            for (name, data), cell in cells.items()
            if cell
        },
    )


def _printed(scale: Scale, cells: Cells) -> Table:
    """As in the paper, its own numbers beside ours."""
    rows = []
    for model in MODELS:
        row = [model.name]
        for data in scale.data:
            bold = model.name in BOLD[COLUMNS[column(data)]]
            published = f"{PUBLISHED[model.name][column(data)]:.2f}{'*' * bold}"
            cell = cells[model.name, data]
            star = "*" * (bool(cell) and _among_the_best(model.name, data, cells))
            ours = f"{np.mean(_percent(cell)):.2f}{star}" if cell else "–"
            row += [published, ours]
        rows.append(row)
    return Table(
        ["", *(head for data in scale.data for head in (TITLES[data], "ours"))],
        rows,
        "Test error in %: published, and ours as the mean over seeds. A star: in the paper, bold; "
        f"in ours, not different from the best of the column at p = {LEVEL} by McNemar's test on "
        "the first seed. – : not trained.",
    )


def _errors(data: str, scale: Scale, cells: Cells, lookup: Lookup) -> Table:
    """One column of the table in full: spread over seeds, difference, learning rates."""
    rows = []
    for model in MODELS:
        cell = cells[model.name, data]
        if not cell:
            continue
        published, errors = PUBLISHED[model.name][column(data)], _percent(cell)
        tried = [r for r in scale.rates if lookup(training(model, data, scale, r)) is not None]
        rows.append(
            (
                model.name,
                f"{published:.2f}",
                " ".join(f"{error:.2f}" for error in errors),
                f"{np.std(errors, ddof=1):.2f}" if len(errors) > 1 else "–",
                f"{np.mean(errors) - published:+.2f}",
                f"{cell[0][0].rate:g}",
                ", ".join(f"{rate:g}" for rate in tried),
            )
        )
    return Table(
        ("", "published", "ours, by seed", "their sd", "difference", "learning rate", "of"),
        rows,
        f"{TITLES[data]}: test error in %, at the learning rate with the least validation error of "
        "those tried.",
    )


def _among_the_best(name: str, data: str, cells: Cells) -> bool:
    """Whether McNemar's test can't tell the first seed's network from the column's best."""
    rivals = {m.name: _wrong(cells[m.name, data][0][1]) for m in MODELS if cells[m.name, data]}
    leader = min(rivals, key=lambda rival: float(rivals[rival].mean()))
    return len(rivals) > 1 and mcnemar(rivals[name], rivals[leader]) >= LEVEL


def _percent(cell: Cell) -> list[float]:
    """Test errors at the end, seed by seed."""
    return [100 * float(result["test_error"][-1]) for _, result in cell]


def _pairs(data: str, cells: Cells) -> Table:
    """p of every pair of models, by both tests."""
    wrong = {m.name: _wrong(cells[m.name, data][0][1]) for m in MODELS if cells[m.name, data]}
    names = list(wrong)
    rows = [[one, *(_pair(names, wrong, one, other) for other in names)] for one in names]
    return Table(
        ["", *names],
        rows,
        f"{TITLES[data]}: p that two models err equally often, above the diagonal by McNemar's "
        "paired test, below it by the two-proportion z-test, on the first seed's networks.",
    )


def _pair(names: list[str], wrong: dict[str, Wrong], one: str, other: str) -> str:
    first, second = wrong[one], wrong[other]
    if one == other:
        return ""
    if names.index(one) < names.index(other):
        return _p(mcnemar(first, second))
    return _p(two_proportions(float(first.mean()), float(second.mean()), len(first)))


def _p(value: float) -> str:
    shown = f"{value:.1e}" if value < 1e-3 else f"{value:.3f}"
    return f"{shown}*" if value < LEVEL else shown


def _wrong(result: Arrays) -> Wrong:
    wrong: Wrong = result["wrong"][0].astype(np.bool_)
    return wrong


def _findings(scale: Scale, cells: Cells) -> list[Finding]:
    plain, normal = cells["Tanh", "shapeset"], cells["Tanh N", "shapeset"]
    sigmoid = cells["Sigmoid", "shapeset"]
    findings = []
    if plain and normal:
        findings.append(_normal_beats_plain(scale, plain, normal))
    if sigmoid:
        findings.append(
            judged(
                scale,
                "Sigmoid with five hidden layers stays near the plateau of the priors.",
                all(abs(error - PLATEAU) < 2 for error in _percent(sigmoid)),
                f"{_listed(sigmoid)} %, the plateau is at {PLATEAU} %",
            )
        )
    return findings


def _normal_beats_plain(scale: Scale, plain: Cell, normal: Cell) -> Finding:
    """Seed by seed, as far as both have the same."""
    pairs = list(zip(plain, normal, strict=False))
    errors = [(_wrong(one[1]), _wrong(other[1])) for one, other in pairs]
    p = [mcnemar(one, other) for one, other in errors]
    better = all(other.mean() < one.mean() for one, other in errors)
    return judged(
        scale,
        f"Tanh N beats tanh on Shapeset (p < {LEVEL}).",
        better and max(p) < LEVEL,
        f"{_listed(normal)} % against {_listed(plain)} %, "
        f"seed by seed p = {', '.join(map(_p, p))} (McNemar)",
    )


def _listed(cell: Cell) -> str:
    return ", ".join(f"{error:.2f}" for error in _percent(cell))


EXHIBIT = Exhibit("table1", "test errors with five hidden layers on four data sets", wants, draw)
