"""Picture files: decoded, and made small and grey."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from evenflow.errors import InputError
from evenflow.study.data.files import INTACT


def decode(content: bytes, where: Path | str) -> Image.Image:
    """The picture that a PNG or JPEG file holds; ``where`` names the file in the error.

    Raises:
        InputError: the file is damaged, or far larger than any picture of a data set.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"the picture cannot be decoded: {error}", where=str(where), remedy=INTACT
        ) from error
    return image


def small_and_grey(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The middle square of ``image`` in grey (ITU-R 601), resampled to (side, side)."""
    return np.asarray(ImageOps.fit(image.convert("L"), (side, side)))
