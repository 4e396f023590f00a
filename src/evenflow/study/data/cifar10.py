"""CIFAR-10: colour photographs, 32×32, 40,000 to train, 10,000 to validate, 10,000 to test."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from evenflow.study.data.cifar_batches import BINARY, find_batches, read_archive
from evenflow.study.data.dataset import DataSet, Examples, Records, class_frequencies
from evenflow.study.data.files import Remote, fetch, places
from evenflow.study.data.image_tree import find_tree, is_lossy, read_tree

NAME, SIDE = "cifar10", 32
FOLDERS = (NAME, "cifar10-jpeg")
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
LICENCE = "none stated by its makers, who ask to be cited"
SOURCE = "A. Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images"
ARCHIVE = Remote(
    BINARY.archive,
    (
        "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ),
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
REMEDY = (
    "get cifar-10-binary.tar.gz or cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html "
    "on another machine, put it into a folder cifar10, and name the folder above it by data_dir or "
    "EVENFLOW_DATA; a folder or an archive cifar*.tar* of images train/airplane/… serves as well"
)


class Photographs(NamedTuple):
    """CIFAR-10 as it was found."""

    train: Examples
    validation: Examples
    test: Examples
    title: str


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:
    """CIFAR-10."""
    found = photographs(data_dir)
    return DataSet(
        name=name,
        title=found.title,
        shape=(3, SIDE, SIDE),
        classes=CLASSES,
        priors=class_frequencies(found.train.labels, len(CLASSES)),
        licence=LICENCE,
        source=SOURCE,
        train=found.train,
        validation=found.validation,
        test=found.test,
        seed=seed,
    )


def photographs(data_dir: Path | None) -> Photographs:
    """The splits, from the user's batches, archives or images, the cache or the network.

    Of the published batches the fifth validates; of images, the last fifth of each class.
    """
    folders = [f for n in FOLDERS for f in places(n, data_dir)]
    if found := find_batches(folders):
        return _from_batches(*found)
    if tree := find_tree(folders, "cifar*.tar*", CLASSES, SIDE):
        train, test = read_tree(NAME, tree)
        held = _last_fifth(train[:, 0])
        title = "CIFAR-10, from lossy JPEG files" if is_lossy(tree) else "CIFAR-10"
        return Photographs(
            Examples.of(train[~held]), Examples.of(train[held]), Examples.of(test), title
        )
    return _from_batches(*read_archive(BINARY, fetch(ARCHIVE, NAME, REMEDY)))


def _from_batches(train: Records, test: Records) -> Photographs:
    held = len(train) * 4 // 5
    return Photographs(
        Examples.of(train[:held]), Examples.of(train[held:]), Examples.of(test), "CIFAR-10"
    )


def _last_fifth(labels: np.ndarray) -> np.ndarray:
    """Which examples are among the last fifth of their class; ``labels`` come in order."""
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        held[rows[len(rows) * 4 // 5 :]] = True
    return held
