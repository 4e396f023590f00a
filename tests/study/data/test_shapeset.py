"""Shapeset: the kernel against a plain reference, and every figure that is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from shapeset_reference import example

from evenflow.study.data.shapeset import generate

COUNT = 200_000


@pytest.mark.parametrize(("seed", "start", "count"), [(0, 0, 600), (7, 2**40 - 150, 300)])
def test_the_kernel_equals_the_reference(seed: int, start: int, count: int) -> None:
    images, labels = generate(seed, start, count)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        expected = example(seed, start + i)
        assert label == expected.label
        np.testing.assert_array_equal(np.rint(image * 255).reshape(32, 32), expected.levels)


def test_any_part_of_the_stream_is_the_same() -> None:
    images, labels = generate(3, 0, 100)
    some, their_labels = generate(3, 37, 5)
    np.testing.assert_array_equal(some, images[37:42])
    np.testing.assert_array_equal(their_labels, labels[37:42])
    assert not np.array_equal(generate(4, 0, 100)[0], images)
