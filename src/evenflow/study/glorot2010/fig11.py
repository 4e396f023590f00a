"""Figure 11: test error during online training on Shapeset, model by model."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.report.charts.frame import Row
from evenflow.report.pictures import Picture
from evenflow.study.charts import curves
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.looks import EPOCHS, UPDATES, errors
from evenflow.study.glorot2010.models import MODELS, SIGMOID_4, Model, first, wanted
from evenflow.study.glorot2010.pretraining import PRETRAINED, pretrained, pretrainings
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial

ORDER = ("Sigmoid", "Sigmoid depth 4", "Tanh", "Softsign", "Softsign N", "Tanh N", PRETRAINED)
"""From worst to best at the end, in the paper."""
KINDS = ("standard", "normalized", "other")


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """Every model on Shapeset, and one that starts from auto-encoders."""
    yield from wanted((*MODELS, SIGMOID_4), "shapeset", scale, lookup)
    yield from pretrainings(scale)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Curves of test error, and the order at the end."""
    models = {model.name: model for model in (*MODELS, SIGMOID_4)}
    found = {n: first(model, "shapeset", scale, lookup) for n, model in models.items()}
    found[PRETRAINED] = pretrained(scale, lookup)
    known = {name: result for name in ORDER if (result := found[name]) is not None}
    paper: list[Row] = [row for n, r in known.items() for row in errors(r, n, time=EPOCHS)]
    modern: list[Row] = [
        row for n, r in known.items() for row in errors(r, *_family(models.get(n)))
    ]
    return Section(
        name="fig11",
        title="Figure 11: test error during online training on Shapeset",
        shows="From worst to best: sigmoid with five and with four hidden layers, tanh, softsign, "
        "softsign N, tanh N, and unsupervised pre-training, from which tanh N is not far.",
        pictures=[
            Picture(
                "fig11-paper",
                "As in the paper",
                "Test error against epochs of 20,000 updates of ten fresh images each.",
                curves(
                    paper,
                    x=EPOCHS.title,
                    y="test error in %",
                    series=list(known),
                    look="ink",
                    title="Test error during online training",
                ),
                "No training is done.",
            ),
            Picture(
                "fig11-modern",
                "By activation and initialisation",
                "Hue tells the activation, dashes the initialisation.",
                curves(
                    modern,
                    x=UPDATES.title,
                    y="test error in %",
                    series=("sigmoid", "tanh", "softsign"),
                    kinds=KINDS,
                    title="Test error during online training, by activation and initialisation",
                ),
                "No training is done.",
            ),
        ],
        findings=_order(scale, {n: float(r["test_error"][-1]) for n, r in known.items()}),
        scaled=scale.reduced(),
        data={n: {"test_error": r["test_error"].tolist()} for n, r in known.items()},
    )


def _family(model: Model | None) -> tuple[str, str]:
    """Hue and dashes of a model's curve."""
    if model is None or model is SIGMOID_4:
        return ("tanh" if model is None else "sigmoid"), "other"
    return model.activation, "normalized" if model.scheme == "glorot" else "standard"


def _order(scale: Scale, errors: dict[str, float]) -> list[Finding]:
    """Whether ours is the order of the paper."""
    if len(errors) < 2:
        return []
    ours = sorted(errors, key=lambda name: -errors[name])
    said = ", ".join(f"{name} {100 * errors[name]:.1f}" for name in ours)
    return [
        judged(
            scale,
            f"Order from worst to best: {', '.join(n for n in ORDER if n in errors)}.",
            ours == [name for name in ORDER if name in errors],
            f"{said} %",
        )
    ]


EXHIBIT = Exhibit("fig11", "test error during online training on Shapeset", wants, draw)
