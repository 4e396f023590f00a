"""Small-ImageNet from a tiny tree, and its groups of synsets against WordNet."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenflow.errors import InputError
from evenflow.study.data import load, small_imagenet
from evenflow.study.data.small_imagenet import HEADS, choose, groups

NOUNS = Path("/usr/share/wordnet/data.noun")
WELL_KNOWN = {
    "n01440764": "fish",  # tench
    "n01531178": "birds",  # goldfinch
    "n01698640": "reptiles",  # American alligator
    "n02123045": "mammals",  # tabby
    "n02676566": "instruments",  # acoustic guitar
    "n03201208": "furniture",  # dining table
    "n03481172": "tools",  # hammer
    "n04285008": "vehicles",  # sports car
    "n07753592": "fruits",  # banana
    "n11939491": "flowers",  # daisy
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """22 photographs of each group, 23 of mammals, and some of a frog that belong to none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for synset in (*WELL_KNOWN, "n01644373"):
        folder = tmp_path / "imagenet" / "train" / synset
        folder.mkdir(parents=True)
        for number in range(23 if synset == "n02123045" else 22):
            grey = 10 * (list(HEADS).index(WELL_KNOWN[synset]) + 1) if synset in WELL_KNOWN else 255
            image = Image.new("RGB", (50 + number, 40), (grey, grey, grey))
            image.save(folder / f"{synset}_{number}.JPEG")
    return tmp_path


def test_groups_share_no_synset_and_have_their_heads() -> None:
    found = groups()
    assert set(found) == set(HEADS)
    for group, head in HEADS.items():
        assert f"n{head}" in found[group]
    for a, b in itertools.combinations(found.values(), 2):
        assert not a & b
    for synset, group in WELL_KNOWN.items():
        assert synset in found[group]


@pytest.mark.skipif(not NOUNS.is_file(), reason="needs Debian's wordnet-base")
def test_groups_are_those_of_wordnet() -> None:
    script = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "make_wordnet_groups.py"))
    expected = {group: {f"n{o}" for o in below} for group, below in script["groups"](NOUNS).items()}
    assert groups() == expected


def test_splits_are_balanced(tree: Path) -> None:
    data = load("small-imagenet", data_dir=tree)
    assert data.title == "Small-ImageNet, 22 photographs a group"
    assert data.stand_in_for is None
    for split, each in ((data.train, 18), (data.validation, 2), (data.test, 2)):
        assert np.bincount(split.labels).tolist() == [each] * 10
        assert split.images.shape == (10 * each, 37 * 37)
        grey = split.pixels.mean(axis=1)
        np.testing.assert_allclose(grey, 10 * (split.labels + 1), atol=2)
    assert data.prior_error == pytest.approx(0.9)


def test_small_images_come_from_the_cache(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("small-imagenet", data_dir=tree)
    monkeypatch.setattr(small_imagenet, "_small", None)
    again = load("small-imagenet", data_dir=tree)
    np.testing.assert_array_equal(again.train.pixels, first.train.pixels)


def test_a_choice_depends_on_names_alone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_imagenet, "PER_GROUP", 11)
    root = tree / "imagenet" / "train"
    chosen = {group: [p.name for p in paths] for group, paths in choose(root).items()}
    assert all(len(names) == 11 for names in chosen.values())
    root.rename(tree / "elsewhere")
    moved = choose(tree / "elsewhere")
    assert {group: [p.name for p in paths] for group, paths in moved.items()} == chosen


def test_a_tree_without_a_group(tree: Path) -> None:
    (tree / "imagenet" / "train" / "n11939491").rename(tree / "gone")
    with pytest.raises(InputError, match=r"too few photographs: 0 of flowers(.|\n)*image-net\.org"):
        load("small-imagenet", data_dir=tree)


def test_no_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENFLOW_DATA", raising=False)
    for folder in (None, tmp_path):
        with pytest.raises(InputError, match=r"no tree of ImageNet(.|\n)*small-imagenet-stand-in"):
            load("small-imagenet", data_dir=folder)
