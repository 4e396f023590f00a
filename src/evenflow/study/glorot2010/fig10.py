"""Figure 10: saturation of a tanh network during training, normalized initialisation."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import BY_NAME, first, wanted
from evenflow.study.glorot2010.saturation import pictures, saturated
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Section
from evenflow.study.trial import Trial

SHOWN = "Tanh N"


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """The model on Shapeset, and the one that it is compared with."""
    yield from wanted([BY_NAME[SHOWN], BY_NAME["Tanh"]], "shapeset", scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """98th percentiles and standard deviations, layer by layer."""
    result = first(BY_NAME[SHOWN], "shapeset", scale, lookup)
    standard = first(BY_NAME["Tanh"], "shapeset", scale, lookup)
    findings = []
    if result and standard:
        spreads = [
            float(each["activation_p98"][-1].max() / each["activation_p98"][-1].min())
            for each in (standard, result)
        ]
        findings.append(
            judged(
                scale,
                "Under the normalized initialisation tanh layers move together, like softsign's.",
                spreads[1] < spreads[0],
                f"98th percentile at the end, greatest layer over least: {spreads[1]:.2f} "
                f"normalized, {spreads[0]:.2f} standard",
            )
        )
    return Section(
        name="fig10",
        title="Figure 10: saturation of normalized tanh during training",
        shows="As Figure 3, for tanh under the normalized initialisation: no layer runs ahead.",
        pictures=pictures("fig10", SHOWN, result),
        findings=findings,
        scaled=scale.reduced(),
        data={"saturated": saturated(result)[-1].tolist()} if result else {},
    )


EXHIBIT = Exhibit("fig10", "saturation of normalized tanh during training", wants, draw)
