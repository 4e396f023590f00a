"""A stand-in for Small-ImageNet where nobody has ImageNet: CIFAR-10 in grey, enlarged to 37×37.

Neither its classes nor its photographs are those of Small-ImageNet, nor are its error rates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from evenflow.study.data import cifar10
from evenflow.study.data.dataset import DataSet, Examples, class_frequencies
from evenflow.study.data.images import small_and_grey
from evenflow.study.data.small_imagenet import SIDE


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:
    """The stand-in."""
    found = cifar10.photographs(data_dir)
    train, validation, test = (
        Examples(np.stack([_grey(flat) for flat in split.pixels]), split.labels)
        for split in (found.train, found.validation, found.test)
    )
    return DataSet(
        name=name,
        title=f"stand-in for Small-ImageNet: {found.title}, in grey at {SIDE}×{SIDE}",
        shape=(SIDE, SIDE),
        classes=cifar10.CLASSES,
        priors=class_frequencies(train.labels, len(cifar10.CLASSES)),
        licence=cifar10.LICENCE,
        source=cifar10.SOURCE,
        train=train,
        validation=validation,
        test=test,
        seed=seed,
        stand_in_for="Small-ImageNet",
    )


def _grey(flat: np.ndarray) -> np.ndarray:
    planes = flat.reshape(3, cifar10.SIDE, cifar10.SIDE)
    image = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    return small_and_grey(image, SIDE).ravel()
