"""Figure 9: standard deviation of weight gradients during training, tanh, both initialisations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import Look, curves
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.looks import EPOCHS, UPDATES, Time, by_layer, hidden, layers
from evenflow.study.glorot2010.models import BY_NAME, first, wanted
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial

SHOWN = ("Tanh", "Tanh N")


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """Both models on Shapeset."""
    yield from wanted([BY_NAME[name] for name in SHOWN], "shapeset", scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Layer by layer through time."""
    found = {name: first(BY_NAME[name], "shapeset", scale, lookup) for name in SHOWN}
    pictures = []
    for name, words in zip(SHOWN, ("standard", "normalized"), strict=True):
        pictures += [
            _picture(found[name], words, EPOCHS, "ink", "as in the paper"),
            _picture(found[name], words, UPDATES, "ramp", "by updates"),
        ]
    return Section(
        name="fig9",
        title="Figure 9: weight gradients during training",
        shows="Level at the start under both initialisations, the layers' weight gradients drift "
        "apart during training under the standard one, and stay together under the normalized one.",
        pictures=pictures,
        findings=_findings(scale, found),
        scaled=scale.reduced(),
        data={
            name: {"greatest_over_least": _apart(result).tolist()}
            for name, result in found.items()
            if result
        },
    )


def _picture(result: Arrays | None, words: str, time: Time, look: Look, said: str) -> Picture:
    chart = (
        None
        if result is None
        else curves(
            by_layer(hidden(result), "weight_gradient_sd", time),
            x=time.title,
            y="sd of ∂C/∂W",
            series=layers(result),
            look=look,
            log_y=True,
            title=f"Standard deviation of weight gradients during training, {words}",
        )
    )
    return Picture(
        f"fig9-{words}-{look}",
        f"{words.capitalize()}, {said}",
        "Standard deviation of ∂C/∂W of each hidden layer, on a logarithmic axis.",
        chart,
        "The training is not done.",
    )


def _apart(result: Arrays) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Greatest standard deviation over least, look by look."""
    sds = hidden(result)["weight_gradient_sd"].astype(np.float64)
    return np.asarray(sds.max(1) / sds.min(1))


def _findings(scale: Scale, found: dict[str, Arrays | None]) -> list[Finding]:
    standard, normalized = (found[name] for name in SHOWN)
    if standard is None or normalized is None:
        return []
    worst = [float(np.median(_apart(result)[1:])) for result in (standard, normalized)]
    return [
        judged(
            scale,
            "Weight gradients drift apart under the standard initialisation and stay level under "
            "the normalized one.",
            worst[0] > 2 * worst[1] if len(_apart(standard)) > 2 else None,
            f"greatest sd over least, median over the training: {worst[0]:.1f} standard, "
            f"{worst[1]:.1f} normalized",
        )
    ]


EXHIBIT = Exhibit("fig9", "weight gradients during training", wants, draw)
