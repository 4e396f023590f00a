"""Figure 12: test error during training on MNIST and on CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.report.pictures import Picture
from evenflow.study.charts import curves
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.looks import EPOCHS, UPDATES, errors
from evenflow.study.glorot2010.models import MODELS, NORMALIZED, first, wanted
from evenflow.study.glorot2010.scales import TITLES, Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Section
from evenflow.study.trial import Trial

SHOWN = ("mnist", "cifar10")


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """Every model on both data sets, as far as the table has them."""
    for data in _shown(scale):
        yield from wanted(MODELS, data, scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Curves of test error."""
    pictures, findings = [], []
    for data in _shown(scale):
        found = [(m, r) for m in MODELS if (r := first(m, data, scale, lookup)) is not None]
        pictures += [
            Picture(
                f"fig12-{data}-paper",
                f"{TITLES[data]}, as in the paper",
                "Test error against epochs of 20,000 updates.",
                curves(
                    [row for m, r in found for row in errors(r, m.name, time=EPOCHS)],
                    x=EPOCHS.title,
                    y="test error in %",
                    series=[model.name for model, _ in found],
                    look="ink",
                    title=f"Test error during training on {TITLES[data]}",
                ),
                "No training is done.",
            ),
            Picture(
                f"fig12-{data}-modern",
                f"{TITLES[data]}, by activation and initialisation",
                "Both axes logarithmic, as learning curves are straightest.",
                curves(
                    [
                        row
                        for m, r in found
                        for row in errors(r, m.activation, _kind(m.scheme))
                        if row["x"] > 0 and row["y"] > 0
                    ],
                    x=UPDATES.title,
                    y="test error in %",
                    series=("sigmoid", "tanh", "softsign"),
                    kinds=("standard", "normalized"),
                    log_x=True,
                    log_y=True,
                    title=f"Test error during training on {TITLES[data]}, by activation",
                ),
                "No training is done.",
            ),
        ]
        ends = {model.name: float(result["test_error"][-1]) for model, result in found}
        if {"Tanh", "Tanh N"} <= ends.keys():
            findings.append(
                judged(
                    scale,
                    f"Tanh N ends below tanh on {TITLES[data]}.",
                    ends["Tanh N"] < ends["Tanh"],
                    f"{100 * ends['Tanh N']:.2f} % against {100 * ends['Tanh']:.2f} %",
                )
            )
    return Section(
        name="fig12",
        title="Figure 12: test error during training on MNIST and CIFAR-10",
        shows="The same models on handwritten digits and on photographs: the normalized "
        "initialisation learns sooner, sigmoid networks latest.",
        pictures=pictures,
        findings=findings,
        scaled=scale.reduced(),
    )


def _shown(scale: Scale) -> list[str]:
    return [data for data in SHOWN if data in scale.data]


def _kind(scheme: str) -> str:
    return "normalized" if scheme == NORMALIZED else "standard"


EXHIBIT = Exhibit("fig12", "test error during training on MNIST and CIFAR-10", wants, draw)
