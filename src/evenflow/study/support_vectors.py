"""A support-vector machine with a Gaussian kernel, tuned on the validation images."""

from __future__ import annotations

import hashlib
import itertools

import msgspec
import numpy as np
from numpy.typing import NDArray

from evenflow.study.arrays import Arrays
from evenflow.study.data import DataSet

PENALTIES = (1.0, 10.0, 100.0)
WIDTHS = (0.3, 1.0, 3.0)
"""Of the kernel exp(−γ|x − y|²): γ in units of 1/(pixels · variance of pixels)."""


class SupportVectors(msgspec.Struct, frozen=True, kw_only=True, tag="support_vectors"):
    """What it is fitted to; a trial like another, with one step."""

    data: str
    images: int
    """Training images, the first ones."""
    test_images: int = 10_000
    seed: int = 0
    updates: int = 1

    @property
    def key(self) -> str:
        """A short name that no other trial has."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The trial in a few words."""
        return f"{self.data} support-vector machine, {self.images:,} images"


def fit(trial: SupportVectors, data: DataSet) -> Arrays:
    """Fit it for every penalty and width; the best on validation images is tested."""
    from sklearn.svm import SVC

    images, labels = data.batch(0, trial.images)
    unit = 1 / (images.shape[1] * float(images.var()))
    most = trial.test_images
    best: tuple[float, float, float, SVC] | None = None
    for penalty, width in itertools.product(PENALTIES, WIDTHS):
        machine = SVC(C=penalty, gamma=width * unit, cache_size=1000)
        machine.fit(images, labels)
        error = float(_wrong(machine, data.validation.images, data.validation.labels, most).mean())
        if best is None or error < best[0]:
            best = error, penalty, width, machine
    assert best is not None  # the grid is not empty
    error, penalty, width, machine = best
    wrong = _wrong(machine, data.test.images, data.test.labels, most)
    return {
        "validation_error": np.array([error]),
        "test_error": np.array([wrong.mean()]),
        "wrong": wrong[None],
        "chosen": np.array([penalty, width]),
    }


def _wrong(
    machine: object, images: NDArray[np.float32], labels: NDArray[np.int64], most: int
) -> NDArray[np.bool_]:
    guesses = machine.predict(images[:most])  # type: ignore[attr-defined]
    return np.asarray(guesses != labels[:most])
