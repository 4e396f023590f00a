"""Figure 3: saturation of tanh and softsign networks during training, standard initialisation."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import BY_NAME, first, wanted
from evenflow.study.glorot2010.saturation import onsets, order, pictures, saturated
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial

SHOWN = ("Tanh", "Softsign")


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """Both models on Shapeset."""
    yield from wanted([BY_NAME[name] for name in SHOWN], "shapeset", scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """98th percentiles and standard deviations, layer by layer."""
    tanh, softsign = (first(BY_NAME[name], "shapeset", scale, lookup) for name in SHOWN)
    drawn: list[Picture] = [
        *pictures("fig3", "Tanh", tanh),
        *pictures("fig3", "Softsign", softsign),
    ]
    return Section(
        name="fig3",
        title="Figure 3: saturation of tanh and of softsign during training",
        shows="98th percentile (points) and standard deviation (lines) of each layer's "
        "activations. Tanh, above: the first layer saturates first, then the second, and so on "
        "upwards. Softsign, below: all layers move together, and less far.",
        pictures=drawn,
        findings=_findings(scale, tanh, softsign) if tanh and softsign else [],
        scaled=scale.reduced(),
        data={
            name: {"saturated": saturated(result)[-1].tolist()}
            for name, result in zip(SHOWN, (tanh, softsign), strict=True)
            if result
        },
    )


def _findings(scale: Scale, tanh: Arrays, softsign: Arrays) -> list[Finding]:
    tops = {
        name: result["activation_p98"][-1]
        for name, result in (("tanh", tanh), ("softsign", softsign))
    }
    ratio = {name: float(top.max() / top.min()) for name, top in tops.items()}
    said = {name: ", ".join(f"{value:.2f}" for value in top) for name, top in tops.items()}
    return [
        judged(
            scale,
            "Tanh layers saturate one after the other, from the first upwards.",
            order(tanh),
            f"{onsets(tanh)}. 98th percentiles at the end: {said['tanh']}",
        ),
        judged(
            scale,
            "Softsign layers move together, and less far than tanh's.",
            bool(ratio["softsign"] < ratio["tanh"] and tops["softsign"].max() < tops["tanh"].max()),
            f"98th percentiles at the end: {said['softsign']}; greatest over least "
            f"{ratio['softsign']:.2f}, for tanh {ratio['tanh']:.2f}",
        ),
    ]


EXHIBIT = Exhibit("fig3", "saturation of tanh and softsign during training", wants, draw)
