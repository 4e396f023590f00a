"""Shapeset: the kernel against a plain reference, and every figure that is known of it."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from scipy import stats
from shapeset_reference import CORNERS, Example, area, example

from evenflow.errors import InputError
from evenflow.sampling.contract import key
from evenflow.study.data import Examples, Stream, load
from evenflow.study.data.shapeset import CLASSES, PRIORS, generate
from evenflow.study.data.shapeset_kernel import fill

COUNT = 100_000
GIVEN_UP = 363_806
"""An example under seed 0 whose second object is rejected 50 times."""
Y, X = np.mgrid[:32, :32] - 15.5
SECOND_MOMENTS = (X * X, X * Y, Y * Y)


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, int]:
    """Levels (n, 32, 32), labels and the rejections in all."""
    levels, labels = np.empty((COUNT, 1024), np.uint8), np.empty(COUNT, np.int64)
    rejections = fill(levels, labels, 0, key(5, "shapeset"), np.arange(256, dtype=np.uint8))
    return levels.reshape(-1, 32, 32), labels, rejections


@pytest.fixture(scope="module")
def plain() -> list[Example]:
    return [example(0, index) for index in range(500)]


def test_the_kernel_equals_the_reference(plain: list[Example]) -> None:
    images, labels = generate(0, 0, len(plain))
    assert labels.tolist() == [expected.label for expected in plain]
    levels = np.rint(images * 255).reshape(-1, 32, 32)
    np.testing.assert_array_equal(levels, [expected.levels for expected in plain])


@pytest.mark.parametrize(("seed", "start"), [(7, 2**40 - 40), (0, GIVEN_UP)])
def test_the_kernel_equals_the_reference_far_along(seed: int, start: int) -> None:
    images, labels = generate(seed, start, 80 if seed else 1)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        expected = example(seed, start + i)
        assert label == expected.label
        np.testing.assert_array_equal(np.rint(image * 255).reshape(32, 32), expected.levels)


def test_after_fifty_rejections_an_image_keeps_the_object_that_it_has() -> None:
    expected = example(0, GIVEN_UP)
    assert expected.rejections == 50
    assert len(expected.objects) == 1
    assert expected.label < 3


def test_any_part_of_the_stream_is_the_same() -> None:
    images, labels = generate(3, 0, 100)
    some, their_labels = generate(3, 37, 5)
    np.testing.assert_array_equal(some, images[37:42])
    np.testing.assert_array_equal(their_labels, labels[37:42])
    assert not np.array_equal(generate(4, 0, 100)[0], images)


def test_a_seed_keeps_its_images() -> None:
    images, labels = generate(1, 0, 1000)
    digest = hashlib.sha256(np.rint(images * 255).astype(np.uint8).tobytes() + labels.tobytes())
    assert digest.hexdigest()[:16] == "7dda26792504c868"


def test_class_priors(many: tuple[np.ndarray, np.ndarray, int]) -> None:
    counts = np.bincount(many[1], minlength=9)
    assert sum(PRIORS) == pytest.approx(1)
    assert stats.chisquare(counts, COUNT * np.array(PRIORS)).pvalue > 0.01
    assert 1 - counts.max() / COUNT == pytest.approx(5 / 6, abs=0.002)
    assert len(CLASSES) == len(counts) == 9


def test_pixel_moments_and_rejections(many: tuple[np.ndarray, np.ndarray, int]) -> None:
    levels, _, rejections = many
    share = np.bincount(levels[:30_000].ravel(), minlength=256) / levels[:30_000].size
    pixels = np.arange(256) / 255
    assert share @ pixels == pytest.approx(0.499, abs=0.002)
    assert math.sqrt(share @ (pixels - share @ pixels) ** 2) == pytest.approx(0.306, abs=0.002)
    assert rejections / COUNT == pytest.approx(0.48, abs=0.015)


def test_greys_and_polarity(many: tuple[np.ndarray, np.ndarray, int]) -> None:
    """A ground of 0 to 114 under objects of 140 to 255 or the reverse, each level as often."""
    levels = many[0].reshape(COUNT, -1)
    ground = levels[:, 0]
    dark = ground <= 114
    assert stats.binomtest(int(dark.sum()), COUNT).pvalue > 0.01
    assert set(np.unique(ground)) == {*range(115), *range(140, 256)}
    assert stats.chisquare(np.bincount(ground[dark])).pvalue > 0.01
    assert stats.chisquare(np.bincount(ground[~dark])[140:]).pvalue > 0.01
    objects = levels != ground[:, None]
    assert levels[dark][objects[dark]].min() == 140
    assert levels[~dark][objects[~dark]].max() == 114


def test_shapes_keep_a_margin_of_a_pixel(many: tuple[np.ndarray, np.ndarray, int]) -> None:
    levels = many[0]
    ground = levels[:, :1, :1]
    for border in (levels[:, :1], levels[:, -1:], levels[:, :, :1], levels[:, :, -1:]):
        assert (border == ground).all()
    covered = (levels != ground).any(axis=0)
    assert covered[1:-1, 1:-1].all()


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_size_place_and_turn_of_single_shapes(
    many: tuple[np.ndarray, np.ndarray, int], kind: int
) -> None:
    """Area k sin(2π/k)/8 · E[s0]E[s1]; in the middle; without a direction.

    As nearly as whole pixels allow: filling both ends of a row adds to the area, and crossings cut
    towards an edge's upper end move it down and make it wider by a fraction of a pixel.
    """
    levels = many[0][many[1] == kind]
    shape = levels != levels[:, :1, :1]
    sizes = shape.sum(axis=(1, 2))
    k = list(CORNERS.values())[kind]
    expected = k * math.sin(2 * math.pi / k) / 8 * 16**2
    assert 1 < sizes.mean() / expected < 1.25
    for axis in (X, Y):
        assert ((shape * axis).sum(axis=(1, 2)) / sizes).mean() == pytest.approx(0, abs=0.25)
    xx, xy, yy = ((shape * moment).mean() for moment in SECOND_MOMENTS)
    assert xx / yy == pytest.approx(1, abs=0.05)
    assert abs(xy) / xx < 0.01


def test_scales_are_two_uniform_draws_in_order(plain: list[Example]) -> None:
    """Of the first objects, which nothing rejects: the larger of two has the law u², and so on."""
    scales = np.array([e.objects[0].scales for e in plain]) / 32
    larger, smaller = (scales.T - 0.2) / 0.6
    assert stats.kstest(larger**2, "uniform").pvalue > 0.01
    assert stats.kstest((1 - smaller) ** 2, "uniform").pvalue > 0.01


def test_area_and_sides(plain: list[Example]) -> None:
    """Area by the shoelace formula; parallelograms have parallel sides."""
    for placed in (placed for e in plain for placed in e.objects):
        x, y = placed.corners.T
        shoelace = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
        assert shoelace == pytest.approx(area(placed) * math.pi / 4)
        if placed.kind == "parallelogram":
            np.testing.assert_allclose(x[0] - x[1], x[3] - x[2], atol=1e-9)
            np.testing.assert_allclose(y[0] - y[1], y[3] - y[2], atol=1e-9)


def test_parallelograms_slant(plain: list[Example]) -> None:
    corners = [p.corners for e in plain for p in e.objects if p.kind == "parallelogram"]
    sides = np.diff(np.array(corners)[:, :3], axis=1)
    lengths = np.linalg.norm(sides, axis=2).prod(axis=1)
    cosine = np.abs((sides[:, 0] * sides[:, 1]).sum(axis=1)) / lengths
    assert (cosine > 0.1).mean() > 0.5
    assert (cosine < 0.9).all()


def test_online_training_is_fresh_and_held_out_examples_are_not_in_it() -> None:
    online, other = load("shapeset", seed=0), load("shapeset", seed=1)
    assert isinstance(online.train, Stream)
    np.testing.assert_array_equal(online.test.pixels, other.test.pixels)
    x, _ = online.batch(0, 1000)
    rows = {row.tobytes() for row in x}
    assert len(rows) == 1000
    for split in (online.test.images, online.validation.images, other.batch(0, 1000)[0]):
        assert rows.isdisjoint(row.tobytes() for row in split)


def test_the_fixed_set_has_its_sizes() -> None:
    fixed = load("shapeset-fixed")
    assert isinstance(fixed.train, Examples)
    assert [len(s.labels) for s in (fixed.train, fixed.validation, fixed.test)] == [
        100_000,
        10_000,
        10_000,
    ]
    assert fixed.input_dim == fixed.train.pixels.shape[1] == 1024
    np.testing.assert_array_equal(fixed.train.images[:3], generate(1, 0, 3)[0])


def test_numbers_outside_the_stream_are_refused() -> None:
    with pytest.raises(InputError, match="no examples -1 to 3"):
        generate(0, -1, 5)
    with pytest.raises(InputError, match="no examples"):
        generate(0, 2**63 - 5, 5)
