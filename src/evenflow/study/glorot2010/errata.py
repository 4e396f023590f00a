"""Slips in the paper's formulas, shown by computation on a linear network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from evenflow.planning.distributions import Normal
from evenflow.report.words import figure
from evenflow.sampling import sample
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

WIDTHS = (400, 600, 900, 1200, 800, 500)
"""Of unequal layers, so that a product one factor too long or too short is seen."""
VARIANCE = 1 / 700
"""Of every weight."""
INPUT = 4.0
"""Variance of the inputs."""
EXAMPLES = 400


def wants(_scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Nothing is trained."""
    yield from ()


def draw(_scale: Scale, _lookup: Lookup) -> Section:
    """Each formula as printed and as it should be, beside what a network has."""
    measured = _gradients()
    top = measured[-1]
    printed = [top * _product(layer) for layer in range(len(measured))]
    mended = [top * _product(layer + 1) for layer in range(len(measured))]
    inputs = [INPUT * _product(layer + 1) for layer in range(len(measured))]
    off = [
        max(abs(math.log(f / m)) for f, m in zip(each, measured, strict=True))
        for each in (printed, mended, inputs)
    ]
    rows = [
        (f"layer {layer + 1}", *map(figure, row))
        for layer, row in enumerate(zip(measured, mended, printed, inputs, strict=True))
    ]
    return Section(
        name="errata",
        title="Slips in the formulas",
        shows="With sⁱ = zⁱWⁱ, the gradient of sⁱ has passed Wⁱ⁺¹ and all above it: the "
        "product of equation 6 should start at i+1, not at i. Equation 13 prints Var[x] where the "
        "variance of the top gradient is meant. The averages of singular values that the paper "
        "takes for one another are told apart under “At initialisation”.",
        tables=[
            Table(
                ("", "measured", "eq. 6 from i+1", "eq. 6 as printed", "eq. 13 as printed"),
                rows,
                "Var[∂C/∂s] of each layer of a linear network of widths "
                f"{', '.join(map(str, WIDTHS))}, weights of variance 1/700, inputs of variance "
                f"{INPUT:g}, a top gradient of variance 1.",
            )
        ],
        findings=[
            Finding(
                "Eq. 6 holds with the product from i+1, and not as printed.",
                off[1] < 0.2 < off[0],
                f"largest ratio to what is measured: {math.exp(off[1]):.2f} from i+1, "
                f"{math.exp(off[0]):.2f} as printed; {math.exp(off[2]):.2f} for eq. 13 as printed",
            )
        ],
        data={"measured": measured, "from i+1": mended, "printed": printed},
    )


def _gradients() -> list[float]:
    """Var[∂C/∂s] of every layer of a linear network, the lowest first."""
    law = Normal(math.sqrt(VARIANCE))
    weights = [
        sample(law, (above, below), seed=0, name=f"layers.{k}.weight", dtype="float64")
        for k, (below, above) in enumerate(itertools.pairwise(WIDTHS))
    ]
    delta = sample(Normal(1.0), (EXAMPLES, WIDTHS[-1]), seed=0, name="cotangent", dtype="float64")
    found = [float(delta.var())]
    for weight in reversed(weights[1:]):
        delta = delta @ weight
        found.insert(0, float(np.var(delta)))
    return found


def _product(start: int) -> float:
    """∏ n Var W over the weights from number ``start`` upwards, n being their outputs."""
    return math.prod(width * VARIANCE for width in WIDTHS[start + 1 :])


EXHIBIT = Exhibit("errata", "slips in the formulas, by computation", wants, draw)
