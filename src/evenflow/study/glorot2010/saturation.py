"""What Figures 3 and 10 share: how far the layers of a network are saturated, through time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves
from evenflow.study.glorot2010.looks import EPOCHS, UPDATES, by_layer, layers
from evenflow.study.statistics import CELLS

FAR = 0.9
"""|activation| above which a unit of tanh or softsign counts as saturated."""
SATURATED, ONSET = 0.01, 0.001
"""Shares of a layer's activations from which it counts as saturated, and as beginning to be."""
_KINDS = ("98th percentile", "standard deviation")


def pictures(figure: str, name: str, result: Arrays | None) -> list[Picture]:
    """The paper's own picture of one network, and the share of saturated activations."""
    paper = modern = None
    if result is not None:
        statistics = zip(("activation_p98", "activation_sd"), _KINDS, strict=True)
        rows = [row for key, kind in statistics for row in by_layer(result, key, EPOCHS, kind)]
        paper = curves(
            rows,
            x=EPOCHS.title,
            y="activation",
            series=layers(result),
            kinds=_KINDS,
            look="ink",
            title=f"98th percentile and standard deviation of activations, {name}",
        )
        shares = saturated(result)
        modern = curves(
            by_layer(result | {"saturated": 100 * shares}, "saturated", UPDATES),
            x=UPDATES.title,
            y=f"% of activations beyond ±{FAR}",
            series=layers(result),
            look="ramp",
            at_least=(0, 1),
            title=f"Share of saturated activations, {name}",
        )
    key = f"{figure}-{name.lower().replace(' ', '-')}"
    missing = "The training is not done."
    return [
        Picture(
            f"{key}-paper",
            f"{name}, as in the paper",
            "98th percentile and standard deviation of each layer's activations.",
            paper,
            missing,
        ),
        Picture(
            f"{key}-modern",
            f"{name}, share that is saturated",
            f"How many activations lie beyond ±{FAR}: what saturation means, layer by layer.",
            modern,
            missing,
        ),
    ]


def saturated(result: Arrays) -> NDArray[np.float64]:
    """Share of activations beyond ±``FAR``, (looks, layers), from the histograms over [−1, 1]."""
    middles = np.linspace(-1, 1, CELLS + 1)[:-1] + 1 / CELLS
    counts = result["activation_histogram"].astype(np.float64)
    share: NDArray[np.float64] = counts[..., np.abs(middles) > FAR].sum(-1) / counts.sum(-1)
    return share


def order(result: Arrays) -> bool | None:
    """Whether the layers saturate from the first upwards; None where hardly any is yet.

    At no look may a layer be more saturated than one below it, looks at which hardly anything is
    saturated left out.
    """
    shares = saturated(result)
    looks = shares[shares.max(1) > SATURATED]
    if len(looks) < 3:
        return None
    return bool((np.diff(looks, axis=1) <= 0).all())


def onsets(result: Arrays) -> str:
    """After how many updates a share worth speaking of is saturated, layer by layer, in words."""
    at, shares = result["observed_at"], saturated(result)
    said = []
    for layer in shares.T:
        looks = np.flatnonzero(layer > ONSET)
        said.append(f"{int(at[looks[0]]):,}" if len(looks) else "never")
    return (
        f"{100 * ONSET:g} % of layers 1 to {len(said)} are beyond ±{FAR} after so many updates: "
        f"{'; '.join(said)}"
    )
