"""Shapeset-3×2: one or two grey shapes in a 32×32 image, made as they are asked for.

Glorot and Bengio 2010, section 2.1, after the authors' generator. Example i under a seed is a pure
function of (seed, i), so that any worker makes any part. What is drawn, and how, stands in
``shapeset_kernel``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from evenflow.errors import InputError
from evenflow.sampling.contract import Key, key
from evenflow.study.data.dataset import DataSet, Examples, Images, Labels, Stream, scaled
from evenflow.study.data.shapeset_kernel import SIDE, fill

CLASSES = (
    "triangle",
    "parallelogram",
    "ellipse",
    "triangle and parallelogram",
    "parallelogram and ellipse",
    "triangle and ellipse",
    "two triangles",
    "two parallelograms",
    "two ellipses",
)
PRIORS = (1 / 6,) * 3 + (1 / 9,) * 3 + (1 / 18,) * 3
"""Number of objects and kind of each are uniform, so classes are not balanced."""

TEST_SEED, TRAIN_SEED, VALIDATION_SEED = 0, 1, 2
"""Of the finite splits. Online training takes the seeds from 3 on."""
FIXED, HELD_OUT = 100_000, 10_000
BYTES = np.arange(256, dtype=np.uint8)


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:  # noqa: ARG001
    """``shapeset``: training examples without end. ``shapeset-fixed``: 100,000 of them."""
    online = name == "shapeset"
    return DataSet(
        name=name,
        title="Shapeset-3×2, " + ("online" if online else f"{FIXED:,} fixed training examples"),
        shape=(SIDE, SIDE),
        classes=CLASSES,
        priors=PRIORS,
        licence="Apache-2.0: made by evenflow itself",
        source="the generator of Glorot and Bengio (2010), written anew",
        train=Stream(partial(_generate, key(3 + seed, "shapeset")))
        if online
        else _finite(TRAIN_SEED, FIXED),
        validation=_finite(VALIDATION_SEED, HELD_OUT),
        test=_finite(TEST_SEED, HELD_OUT),
        seed=seed,
    )


def generate(seed: int, start: int, count: int) -> tuple[Images, Labels]:
    """Examples start, …, start + count − 1: images (count, 1024) and labels (count,).

    Pixels are whole 255ths from 0 to 1; labels follow the order of ``CLASSES``.

    Raises:
        InputError: the seed or a count is out of range.
    """
    return _generate(key(seed, "shapeset"), start, count)


def _generate(seed_key: Key, start: int, count: int) -> tuple[Images, Labels]:
    if start < 0 or count < 0 or start + count > 2**63 - 1:
        raise InputError(f"there are no examples {start} to {start + count - 1} of Shapeset")
    images = np.empty((count, SIDE * SIDE), np.float32)
    labels = np.empty(count, np.int64)
    fill(images, labels, start, seed_key, scaled(BYTES))
    return images, labels


def _finite(seed: int, count: int) -> Examples:
    """The first examples under ``seed``, as bytes."""
    pixels = np.empty((count, SIDE * SIDE), np.uint8)
    labels = np.empty(count, np.int64)
    fill(pixels, labels, 0, key(seed, "shapeset"), BYTES)
    return Examples(pixels, labels)
