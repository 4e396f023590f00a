"""Draw Shapeset-3×2, class by class: ``python docs/make_shapeset.py`` (takes seconds)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evenflow.study.data.shapeset import CLASSES, PRIORS, generate
from evenflow.study.data.shapeset_kernel import SIDE

EACH, SCALE, GAP, MARGIN = 14, 2, 6, 250
"""Images of a class; pixels for a pixel, between images, and for the names."""


def main() -> None:
    """Write docs/images/shapeset.png: the first test examples of each class."""
    images, labels = generate(0, 0, 2000)
    cell = SIDE * SCALE + GAP
    size = (MARGIN + EACH * cell + GAP, len(CLASSES) * cell + GAP)
    sheet = Image.new("L", size, 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for label, (name, prior) in enumerate(zip(CLASSES, PRIORS, strict=True)):
        top = GAP + label * cell
        pen.text((GAP, top + 10), name, 0, font)
        pen.text((GAP, top + 34), f"1 in {1 / prior:.0f}", 110, font)
        for column, image in enumerate(images[labels == label][:EACH]):
            levels = np.rint(image * 255).astype(np.uint8).reshape(SIDE, SIDE)
            tile = Image.fromarray(levels).resize((SIDE * SCALE,) * 2, Image.Resampling.NEAREST)
            left = MARGIN + column * cell
            pen.rectangle((left - 1, top - 1, left + SIDE * SCALE, top + SIDE * SCALE), outline=190)
            sheet.paste(tile, (left, top))
    sheet.save(Path(__file__).parent / "images" / "shapeset.png", optimize=True)


if __name__ == "__main__":
    main()
