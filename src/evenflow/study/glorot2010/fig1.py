"""Figure 1: examples of Shapeset-3×2 and of Small-ImageNet."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator

import altair as alt
import numpy as np
from numpy.typing import NDArray

from evenflow.report.charts.frame import framed
from evenflow.report.pictures import Picture
from evenflow.study.glorot2010.scales import STAND_INS, TITLES, Scale
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Section
from evenflow.study.trial import Trial

_ROWS, _SIDE = 2, 88
"""Rows of images, and pixels that each is drawn with; on the page it takes what room there is."""


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """The test images of both sets, which any trial keeps a few of."""
    yield from (_trial(data) for data in _shown(scale))


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Images side by side."""
    pictures = []
    for data in _shown(scale):
        result = lookup(_trial(data))
        said = " It stands in for Small-ImageNet." if data in STAND_INS else ""
        pictures.append(
            Picture(
                f"fig1-{data}",
                TITLES[data],
                f"Test images of what the networks were trained on.{said}",
                None if result is None else _sheet(result["examples"][0], data),
                "The data set could not be had.",
            )
        )
    return Section(
        name="fig1",
        title="Figure 1: examples of the data",
        shows="Above, Shapeset-3×2: one or two triangles, parallelograms or ellipses, in any "
        "position, size and grey, the later over the earlier. Below, Small-ImageNet: photographs "
        "in grey, 37×37 pixels.",
        pictures=pictures,
    )


def _shown(scale: Scale) -> tuple[str, ...]:
    return ("shapeset", *(d for d in scale.data if "imagenet" in d))


def _trial(data: str) -> Trial:
    network = Network(hidden=(1,), activation="tanh", scheme="glorot")
    return Trial(data=data, network=network, rate=1.0, updates=0, test_images=10)


def _sheet(images: NDArray[np.generic], name: str) -> alt.LayerChart:
    side = math.isqrt(images.shape[1])
    columns = len(images) // _ROWS
    rows = [
        {
            "x": place % columns,
            "y": place // columns,
            "url": _png(image.reshape(side, side).astype(np.uint8)),
        }
        for place, image in enumerate(images)
    ]
    spaced, room = alt.Scale(padding=0.04), {"band": 0.96}
    marks = (
        alt.Chart()
        .mark_image(width=room, height=room)
        .encode(
            alt.X("x:O", axis=None, scale=spaced),
            alt.Y("y:O", axis=None, scale=spaced),
            alt.Url("url:N"),
        )
    )
    return framed([marks], rows, f"Examples of {name}", (_SIDE + 6) * _ROWS + 20)


def _png(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


EXHIBIT = Exhibit("fig1", "examples of the data", wants, draw)
