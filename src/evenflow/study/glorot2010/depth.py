"""The search for the best depth: validation errors of every model with more and fewer layers."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.report.charts.frame import Row, compact
from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import MODELS, NORMALIZED, Model, best, searched
from evenflow.study.glorot2010.scales import SCALES, Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

PUBLISHED = {model.name: 4 if model.activation == "sigmoid" else 5 for model in MODELS}
"""The depth that the paper found best on Shapeset."""

Found = dict[Model, dict[int, tuple[Trial, Arrays]]]
"""By model and depth: the training at its best rate, and what it measured."""


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Every model at every depth and rate, under one seed."""
    deep = [_at(model, depth) for depth in scale.depths for model in MODELS]
    yield from searched(deep, "shapeset", scale)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Errors by depth, and the depth that validation chooses."""
    found = {model: _found(model, scale, lookup) for model in MODELS}
    head = ("", *(f"depth {depth}" for depth in scale.depths), "best", "published")
    rows = [_row(model, known, scale) for model, known in found.items() if known]
    return Section(
        name="depth",
        title="The best depth of every model",
        shows="One to five hidden layers, the depth chosen by validation error like the learning "
        "rate. On Shapeset five are best for every model but the sigmoid's, for which four are.",
        pictures=[
            Picture(
                "depth-errors",
                "Validation error by depth",
                "Each depth at its best learning rate. Hue tells the activation, dashes the "
                "initialisation.",
                curves(
                    _points(found),
                    x="hidden layers",
                    y="validation error in %",
                    series=("sigmoid", "tanh", "softsign"),
                    kinds=("standard", "normalized"),
                    title="Validation error by depth, activation and initialisation",
                ),
                "No training is done.",
            )
        ],
        tables=[Table(head, rows, "Validation error in %, and the learning rate found.")]
        if rows
        else [],
        findings=_findings(scale, found),
        scaled=[*scale.reduced(), *_fewer(scale)],
        data={
            model.name: {str(depth): _error(each) for depth, each in known.items()}
            for model, known in found.items()
        },
    )


def _at(model: Model, depth: int) -> Model:
    return model._replace(depth=depth)


def _found(model: Model, scale: Scale, lookup: Lookup) -> dict[int, tuple[Trial, Arrays]]:
    known = {}
    for depth in scale.depths:
        trial = best(_at(model, depth), "shapeset", scale, lookup)
        result = lookup(trial) if trial else None
        if trial and result:
            known[depth] = trial, result
    return known


def _error(each: tuple[Trial, Arrays]) -> float:
    """In per cent."""
    return 100 * float(each[1]["validation_error"][-1])


def _chosen(known: dict[int, tuple[Trial, Arrays]]) -> int:
    return min(known, key=lambda depth: _error(known[depth]))


def _row(model: Model, known: dict[int, tuple[Trial, Arrays]], scale: Scale) -> tuple[str, ...]:
    cells = [
        f"{_error(known[depth]):.2f} (rate {known[depth][0].rate:g})" if depth in known else "–"
        for depth in scale.depths
    ]
    return model.name, *cells, str(_chosen(known)), str(PUBLISHED[model.name])


def _points(found: Found) -> list[Row]:
    return [
        {
            "x": depth,
            "y": compact(_error(each)),
            "series": model.activation,
            "kind": "normalized" if model.scheme == NORMALIZED else "standard",
        }
        for model, known in found.items()
        for depth, each in known.items()
    ]


def _findings(scale: Scale, found: Found) -> list[Finding]:
    chosen = {model.name: _chosen(known) for model, known in found.items() if known}
    if len(chosen) < len(MODELS):
        return []
    said = ", ".join(f"{name} {depth}" for name, depth in chosen.items())
    return [
        judged(
            scale,
            "The best of the depths is 5 on Shapeset, for sigmoid 4.",
            chosen == PUBLISHED,
            said,
        )
    ]


def _fewer(scale: Scale) -> list[str]:
    if scale.depths == SCALES["paper"].depths:
        return []
    return [f"depths tried: {', '.join(map(str, scale.depths))} in place of 1 to 5"]


EXHIBIT = Exhibit("depth", "the best depth of every model", wants, draw)
