"""Small-ImageNet, from a tree of ImageNet that the user has: ten groups of nouns, 37×37, grey.

The paper took 110,000 photographs in ten balanced groups: 90,000 to train, 10,000 to validate and
10,000 to test. Which ones, and how they were made small, is not known: here they are drawn from
each group by the hashes of their names, and the middle square is resampled. A tree with fewer than
11,000 photographs of some group makes all groups as small; that of the 2012 challenge has 2,600 of
flowers.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from evenflow.errors import InputError
from evenflow.study.data.dataset import DataSet, Examples, Records
from evenflow.study.data.files import VARIABLE, decoded, places
from evenflow.study.data.images import decode, small_and_grey

SIDE = 37
PER_GROUP = 11_000
HEADS = {
    "reptiles": "01661091",
    "vehicles": "04524313",
    "birds": "01503061",
    "mammals": "01861778",
    "fish": "02512053",
    "furniture": "03405725",
    "instruments": "03800933",
    "tools": "04451818",
    "flowers": "11669921",
    "fruits": "13134947",
}
"""The noun of WordNet 3.0 that each group lies below; instruments are those of music."""
GROUPS_FILE = Path(__file__).with_name("wordnet_groups.txt")
"""What lies below them. docs/make_wordnet_groups.py makes it."""
EDITIONS = ("", "train", "ILSVRC/Data/CLS-LOC/train")
"""Where below its root a tree has its folders of synsets."""
REMEDY = (
    "register at image-net.org and put its training photographs (folders n01440764, …) into a "
    f"folder imagenet, and name the folder above it by data_dir or {VARIABLE}; "
    "or take small-imagenet-stand-in, which is labelled as such"
)


def load(name: str, data_dir: Path | None, seed: int) -> DataSet:
    """Small-ImageNet; the small images are kept in the cache."""
    chosen = choose(_tree(places("imagenet", data_dir)))
    stats = ((path, path.stat()) for photographs in chosen.values() for path in photographs)
    key = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
    train, test = decoded(name, key, lambda: _make_small(chosen))
    size = len(next(iter(chosen.values())))
    held = np.arange(len(train)) % (size - size // 11) >= size - 2 * (size // 11)
    return DataSet(
        name=name,
        title="Small-ImageNet" + (f", {size:,} photographs a group" if size < PER_GROUP else ""),
        shape=(SIDE, SIDE),
        classes=tuple(HEADS),
        priors=(1 / len(HEADS),) * len(HEADS),
        licence="ImageNet's terms of access: research and teaching without commerce",
        source="J. Deng et al. (2009), from the user's own tree; groups by WordNet 3.0",
        train=Examples.of(train[~held]),
        validation=Examples.of(train[held]),
        test=Examples.of(test),
        seed=seed,
    )


def groups() -> dict[str, frozenset[str]]:
    """The synsets of each group, as ImageNet names them (n01440764)."""
    lines = (line for line in GROUPS_FILE.read_text().splitlines() if not line.startswith("#"))
    named = (line.split(": ") for line in lines)
    return {group: frozenset("n" + o for o in offsets.split()) for group, offsets in named}


def choose(tree: Path) -> dict[str, list[Path]]:
    """As many photographs of each group, in an order that depends on nothing but their names.

    Raises:
        InputError: a group has none, or too few to split.
    """
    found = {
        group: sorted(
            (path for synset in synsets for path in (tree / synset).glob("*.[Jj][Pp]*[Gg]")),
            key=lambda path: hashlib.sha256(path.name.encode()).digest(),
        )
        for group, synsets in groups().items()
    }
    size = min(PER_GROUP, *(len(photographs) for photographs in found.values()))
    if size < 11:
        few = [f"{len(found[group])} of {group}" for group in found if len(found[group]) < 11]
        raise InputError(
            f"the tree has too few photographs: {', '.join(few)}", where=str(tree), remedy=REMEDY
        )
    return {group: photographs[:size] for group, photographs in found.items()}


def _tree(folders: list[Path]) -> Path:
    for folder in folders:
        for edition in EDITIONS:
            if any((folder / edition).glob("n" + "[0-9]" * 8)):
                return folder / edition
    raise InputError(
        "there is no tree of ImageNet, which may not be downloaded without its owners' leave",
        where=", ".join(map(str, folders)),
        remedy=REMEDY,
    )


def _make_small(chosen: dict[str, list[Path]]) -> tuple[Records, Records]:
    """Of each group the last eleventh to test, the others to train and validate."""
    train: list[Records] = []
    test: list[Records] = []
    with ThreadPoolExecutor() as threads:
        for label, photographs in enumerate(chosen.values()):
            rows = np.stack(list(threads.map(_small, photographs)))
            rows = np.insert(rows, 0, label, axis=1)
            kept = len(rows) - len(rows) // 11
            train.append(rows[:kept])
            test.append(rows[kept:])
    return np.concatenate(train), np.concatenate(test)


def _small(path: Path) -> np.ndarray:
    return small_and_grey(decode(path.read_bytes(), path), SIDE).ravel()
