"""Fans by named axes, and one weight in every layout."""

from __future__ import annotations

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.planning.layout import Layout

LAYOUTS = {
    "(in, out)": ((24, 10), Layout(), (24, 10)),
    "(out, in)": ((10, 24), Layout(1, 0), (24, 10)),
    "HWIO": ((3, 5, 8, 6), Layout(), (15 * 8, 15 * 6)),
    "OIHW": ((6, 8, 3, 5), Layout(1, 0), (15 * 8, 15 * 6)),
    "a transposed convolution's HWOI": ((3, 5, 6, 8), Layout(-1, -2), (15 * 8, 15 * 6)),
    "depthwise HWCM": ((3, 3, 8, 2), Layout((), -1, -2), (9, 18)),
    "queries (d, heads, size)": ((32, 4, 8), Layout(0, (1, 2)), (32, 32)),
    "experts (e, in, out)": ((7, 24, 10), Layout(batch_axis=0), (24, 10)),
}


@pytest.mark.parametrize(("shape", "layout", "fans"), LAYOUTS.values(), ids=LAYOUTS)
def test_fans_count_the_terms_of_the_sums(
    shape: tuple[int, ...], layout: Layout, fans: tuple[int, int]
) -> None:
    assert layout.fans(shape) == fans


@pytest.mark.parametrize(("shape", "layout", "_fans"), LAYOUTS.values(), ids=LAYOUTS)
def test_handing_over_moves_every_element_once(
    shape: tuple[int, ...], layout: Layout, _fans: object
) -> None:
    drawn_shape = layout.drawn_shape(shape)
    handed = layout.hand_over(np.arange(np.prod(shape)).reshape(drawn_shape), shape)
    assert handed.shape == shape
    assert sorted(handed.reshape(-1)) == list(range(handed.size))


def test_layouts_hold_the_same_weight() -> None:
    torchs = np.arange(6 * 8 * 3 * 5).reshape(6, 8, 3, 5)
    kerass = Layout().hand_over(torchs, (3, 5, 8, 6))
    assert (kerass == np.moveaxis(torchs, (0, 1), (3, 2))).all()
    assert (Layout(1, 0).hand_over(torchs, torchs.shape) == torchs).all()
    dense = np.arange(240).reshape(10, 24)
    assert (Layout().hand_over(dense, (24, 10)) == dense.T).all()
    heads = Layout(0, (1, 2)).hand_over(dense.reshape(10, 24), (24, 2, 5))
    assert (heads.reshape(24, 10) == dense.T).all()


@pytest.mark.parametrize(
    ("shape", "layout"), [((5,), Layout()), ((), Layout()), ((4, 4), Layout(2, 0))]
)
def test_a_shape_without_the_axes_is_refused(shape: tuple[int, ...], layout: Layout) -> None:
    with pytest.raises(InputError, match="has no axis"):
        layout.fans(shape)


def test_an_axis_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        Layout(0, -2).fans((4, 4))


def test_lists_are_as_good_as_tuples() -> None:
    assert Layout([0, 1], [2]) == Layout((0, 1), (2,))
    assert len({Layout([0]), Layout((0,))}) == 1
