"""Draw the README's picture: ``python docs/make_pictures.py`` (takes half a minute).

Thirty tanh layers of width 256, initialised four ways; each point is measured by ``ef.check`` on
256 rows of noise, each line is what ``ef.check`` predicted from the architecture.
"""

from __future__ import annotations

from pathlib import Path

import altair as alt
import torch
import vl_convert
from torch import nn

import evenflow as ef

DEPTH, WIDTH = 30, 256
SCHEMES = {"heuristic": "U(±1/√n), the old heuristic", "glorot": "Glorot", "auto": "evenflow auto"}
COLOURS = ["#c7522a", "#8a8a8a", "#1b6ca8"]


def rows() -> list[dict[str, object]]:
    """Measured and predicted second moments of every pre-activation, by scheme."""
    found: list[dict[str, object]] = []
    x = torch.randn(256, WIDTH, generator=torch.Generator().manual_seed(0))
    for scheme, label in SCHEMES.items():
        model = nn.Sequential(
            *[m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
        )
        ef.init_(model, x, scheme=scheme, seed=0)
        linear = [layer for layer in ef.check(model, x).record.layers if layer.op == "linear"]
        for depth, layer in enumerate(linear, start=1):
            assert layer.backward is not None
            for pass_, measured, predicted in (
                ("forwards: second moment", layer.forward, layer.predicted_forward),
                ("backwards: squared gradient", layer.backward, layer.predicted_backward),
            ):
                found.append(
                    {
                        "scheme": label,
                        "pass": pass_,
                        "layer": depth,
                        "measured": measured.second_moment,
                        "predicted": predicted,
                    }
                )
    return found


def main() -> None:
    """Write docs/images/level.svg."""
    colour = alt.Color(
        "scheme:N",
        title=None,
        scale=alt.Scale(domain=list(SCHEMES.values()), range=COLOURS),
        legend=alt.Legend(orient="bottom", symbolStrokeWidth=3),
    )
    base = alt.Chart(alt.Data(values=rows())).encode(
        x=alt.X("layer:Q", title="layer", scale=alt.Scale(domain=[1, DEPTH])), color=colour
    )

    def axis(field: str) -> alt.Y:
        return alt.Y(
            f"{field}:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format="~e")
        )

    lines = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(y=axis("predicted"))
    points = base.mark_point(filled=True, size=22, opacity=1).encode(y=axis("measured"))
    chart = (
        alt.layer(lines, points)
        .properties(width=330, height=210)
        .facet(
            alt.Facet(
                "pass:N",
                title=None,
                sort=["forwards: second moment", "backwards: squared gradient"],
                header=alt.Header(labelFontSize=13, labelFontWeight="bold"),
            )
        )
        .resolve_scale(y="independent")
        .properties(
            background="white",
            title=alt.Title(
                "Thirty tanh layers at initialisation",
                subtitle="points: measured; lines: predicted from the architecture alone",
                anchor="start",
            ),
        )
        .configure_view(stroke="#ddd")
        .configure_axis(gridColor="#eee")
    )
    svg = vl_convert.vegalite_to_svg(chart.to_json())
    Path(__file__).parent.joinpath("images", "level.svg").write_text(svg + "\n")


if __name__ == "__main__":
    main()
