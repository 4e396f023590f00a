"""Batches as pure functions of seed and step, and what a data set says of itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import InputError
from evenflow.study.data import DataSet, Examples, load, names
from evenflow.study.data.dataset import class_frequencies


def numbered(count: int, seed: int = 0) -> DataSet:
    """A data set whose example i has label i and the pixel i mod 256."""
    split = Examples(np.arange(count).astype(np.uint8)[:, None], np.arange(count))
    return DataSet(
        name="numbered",
        title="Numbers",
        shape=(1, 1),
        classes=("even", "odd"),
        priors=(0.75, 0.25),
        licence="",
        source="",
        train=split,
        validation=split,
        test=split,
        seed=seed,
    )


@settings(max_examples=50)
@given(count=st.integers(1, 60), size=st.integers(1, 25), seed=st.integers(0, 2**64 - 1))
def test_every_example_comes_once_an_epoch(count: int, size: int, seed: int) -> None:
    data = numbered(count, seed)
    drawn = np.concatenate([data.batch(step, size)[1] for step in range(-(-3 * count // size))])
    for epoch in range(3):
        part = drawn[epoch * count : (epoch + 1) * count]
        np.testing.assert_array_equal(np.sort(part), np.arange(count))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    late = numbered(1000).batch(730, 10)
    data = numbered(1000)
    for step in range(5):
        data.batch(step, 10)
    np.testing.assert_array_equal(data.batch(730, 10)[1], late[1])
    assert not np.array_equal(numbered(1000, seed=1).batch(730, 10)[1], late[1])
    assert not np.array_equal(data.batch(0, 1000)[1], data.batch(1, 1000)[1])


def test_an_order_stays_what_it_is() -> None:
    assert numbered(1000, seed=7).batch(0, 5)[1].tolist() == [226, 352, 581, 700, 770]


def test_images_go_from_0_to_1() -> None:
    data = numbered(256)
    np.testing.assert_array_equal(data.test.images[:, 0], (np.arange(256) / 255).astype("f4"))
    x, y = data.batch(0, 256)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, data.test.images[y])


def test_an_online_batch_is_a_part_of_the_stream() -> None:
    data = load("shapeset", seed=9)
    x, y = data.batch(7, 10)
    stream_x, stream_y = data.train.stream(70, 10)
    np.testing.assert_array_equal(x, stream_x)
    np.testing.assert_array_equal(y, stream_y)


def test_prior_error() -> None:
    assert numbered(4).prior_error == 0.25
    assert load("shapeset").prior_error == pytest.approx(0.8333, abs=1e-4)
    assert class_frequencies(np.array([0, 2, 2, 2]), 4) == (0.25, 0, 0.75, 0)


def test_a_name_that_is_almost_right() -> None:
    with pytest.raises(InputError, match=r"no data set 'mnits'(.|\n)*did you mean mnist"):
        load("mnits")
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize("seed", [-1, 1.5, 2**64])
def test_what_is_no_seed(seed: int) -> None:
    with pytest.raises(InputError, match="seed"):
        load("shapeset", seed=seed)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    for module in ("files", "mnist", "idx"):
        monkeypatch.delitem(sys.modules, f"evenflow.study.data.{module}", False)
    with pytest.raises(InputError, match=r"mnist needs pooch(.|\n)*evenflow\[study\]"):
        load("mnist")
