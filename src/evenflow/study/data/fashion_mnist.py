"""Fashion-MNIST: pieces of clothing in MNIST's format and numbers."""

from __future__ import annotations

from pathlib import Path

from evenflow.study.data.dataset import DataSet, class_frequencies
from evenflow.study.data.files import places
from evenflow.study.data.idx import NAMES, IdxFiles, splits

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""

FILES = IdxFiles.published(
    MIRRORS,
    (
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
)
REMEDY = (
    "on Debian or Ubuntu, apt install dataset-fashion-mnist; elsewhere get the files "
    f"{', '.join(NAMES)} on another machine, put them into a folder fashion-mnist, and name the "
    "folder above it by data_dir or EVENFLOW_DATA"
)


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:
    """Fashion-MNIST."""
    train, validation, test = splits(name, FILES, [*places(name, data_dir), DEBIAN], REMEDY)
    return DataSet(
        name=name,
        title="Fashion-MNIST",
        shape=(28, 28),
        classes=(
            "T-shirt or top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        priors=class_frequencies(train.labels, 10),
        licence="MIT",
        source="H. Xiao, K. Rasul and R. Vollgraf (2017), Zalando Research",
        train=train,
        validation=validation,
        test=test,
        seed=seed,
    )
