"""MNIST: handwritten digits, 28×28, 50,000 to train, 10,000 to validate, 10,000 to test."""

from __future__ import annotations

from pathlib import Path

from evenflow.study.data.dataset import DataSet, class_frequencies
from evenflow.study.data.files import places
from evenflow.study.data.idx import NAMES, IdxFiles, splits

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = IdxFiles.published(
    MIRRORS,
    (
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)
REMEDY = (
    f"get the files {', '.join(NAMES)} on another machine, put them into a folder mnist, and name "
    "the folder above it by data_dir or EVENFLOW_DATA"
)


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:
    """MNIST."""
    train, validation, test = splits(name, FILES, places(name, data_dir), REMEDY)
    return DataSet(
        name=name,
        title="MNIST",
        shape=(28, 28),
        classes=tuple("0123456789"),
        priors=class_frequencies(train.labels, 10),
        licence="none stated by its makers; commonly given as CC BY-SA 3.0",
        source="Y. LeCun, C. Cortes and C. Burges, from NIST Special Databases 1 and 3",
        train=train,
        validation=validation,
        test=test,
        seed=seed,
    )
