"""Handwritten digits that scikit-learn brings along: images that need no download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from evenflow.errors import InputError

_TRAINING = 1347
"""Of the 1,797 images; the other 450, a quarter, test."""


class Split(NamedTuple):
    """Images (N, 64), float32, and their classes 0 to 9 (N,), int64."""

    images: torch.Tensor
    classes: torch.Tensor


def digits(seed: int) -> tuple[Split, Split]:
    """Training and test images of 8×8 pixels, in an order drawn from ``seed``.

    Pixels are centred and scaled by the mean and the standard deviation of all training pixels.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "the digits come with scikit-learn, which is not installed",
            remedy='pip install "evenflow[examples]"',
        ) from error
    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, classes = images[order], classes[order]
    known = images[:_TRAINING]
    pixels = torch.from_numpy((images - known.mean()) / known.std()).float()
    labels = torch.from_numpy(classes).long()
    return (
        Split(pixels[:_TRAINING], labels[:_TRAINING]),
        Split(pixels[_TRAINING:], labels[_TRAINING:]),
    )
