"""The fused pass over a training's tensors, against plain NumPy on the same sample."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from evenflow.record.run_kernels import NO_EDGES, signal_at, tails, tally
from evenflow.record.run_layout import ELEMENTS, EXAMPLES, flat_layout, sampled, signal_layout
from evenflow.record.run_quantities import percentile, quantities
from evenflow.record.run_sums import (
    CELLS,
    COUNT,
    DEAD,
    LOOKED,
    MAXIMUM,
    PLACES,
    QUANTITIES,
    SATURATED,
    UNCHANGED,
    UNITS,
    UPDATE_SQUARES,
    WEIGHT_SQUARES,
    empty_sums,
    merged,
)
from evenflow.record.update_kernels import keep_at, moved_at


def measured(x: np.ndarray, layout: np.ndarray, times: int = 1) -> np.ndarray:
    """Sums of one tensor."""
    sums = empty_sums(1)
    for _ in range(times):
        tally(x.reshape(-1), layout, sums[0])
    return sums


def named(sums: np.ndarray, scale: float = 1.0) -> dict[str, float]:
    values, _ = quantities(sums, scale)
    return dict(zip(QUANTITIES, values[0].tolist(), strict=True))


def looked_at(x: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """The elements that a layout names, one example a row."""
    start, examples, pitch, groups, group_pitch, run = layout[:6]
    flat = x.reshape(-1)
    return np.array(
        [
            [
                flat[start + e * pitch + g * group_pitch + i]
                for g in range(groups)
                for i in range(run)
            ]
            for e in range(examples)
        ]
    )


@given(
    shape=st.sampled_from([(7,), (4, 3), (130, 5), (3, 4, 6), (5, 3, 4, 4), (2, 20, 9, 9)]),
    channels=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_the_sample(shape, channels, dtype, seed):
    x = np.random.default_rng(seed).normal(0.5, 2.0, shape).astype(dtype)
    x[np.abs(x) < 0.3] = 0
    layout = signal_layout(shape, channels)
    part = looked_at(x, layout).astype(np.float64)
    assert part.size == sampled(layout)
    found = named(measured(x, layout))
    assert_allclose(found["mean"], part.mean(), atol=1e-5)
    assert_allclose(found["second_moment"], (part**2).mean(), rtol=1e-5)
    assert_allclose([found["minimum"], found["maximum"]], [part.min(), part.max()], rtol=1e-6)
    assert_allclose(found["zero_share"], (part == 0).mean(), rtol=1e-6)
    if len(part) == 1:
        assert math.isnan(found["correlation"])
        return
    b = len(part)
    products = (part.sum(axis=0) ** 2).sum() - (part**2).sum()
    shared = products / (b * (b - 1) * part.shape[1])
    assert_allclose(found["correlation"], shared / (part**2).mean(), atol=1e-5)


def test_the_sample_of_a_large_tensor_is_right_within_its_stated_error():
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(40):
        x = rng.normal(size=(256, 512)).astype(np.float32)
        layout = signal_layout(x.shape, False)
        assert sampled(layout) == ELEMENTS
        errors.append(named(measured(x, layout))["second_moment"] - 1)
    assert np.std(errors) == pytest.approx(math.sqrt(2 / ELEMENTS), rel=0.4)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((64, 16, 28, 28), True), ((8, 512, 768), False), ((512, 4096), False), ((9, 3, 2, 2), True)],
)
def test_a_sample_stays_inside_its_tensor_and_meets_every_unit(shape, channels):
    layout = signal_layout(shape, channels)
    numbers = np.arange(math.prod(shape), dtype=np.float64)
    part = looked_at(numbers, layout)
    assert part.max() < numbers.size
    assert len(np.unique(part)) == part.size
    assert len(part) <= EXAMPLES
    places = np.unravel_index(part.astype(np.int64), shape)
    units = places[1 if channels else -1]
    assert len(np.unique(units)) == shape[1 if channels else -1]


def test_values_that_are_none_are_counted_and_left_out():
    x = np.ones((8, 300), np.float32)
    x[3, 7], x[5, 1], x[5, 2] = np.nan, np.inf, -np.inf
    layout = signal_layout(x.shape, False)
    sums = measured(x, layout)
    found, cells = named(sums), sums[:, PLACES:]
    assert found["nonfinite_share"] == pytest.approx(3 / 2400)
    assert (found["mean"], found["second_moment"], found["maximum"]) == (1, 1, 1)
    assert cells.sum() <= sums[0, COUNT]
    assert math.isnan(found["correlation"])


def test_the_histogram_is_numpys_over_the_same_range():
    x = np.random.default_rng(0).normal(size=(16, 200)).astype(np.float32)
    layout = signal_layout(x.shape, False)
    sums = measured(x, layout)
    found, cells = named(sums), sums[:, PLACES:]
    low, high = found["histogram_low"], found["histogram_high"]
    expected, _ = np.histogram(np.clip(x, low, high), bins=CELLS, range=(low, high))
    assert cells.sum() == x.size
    assert np.abs(cells[0] - expected).sum() <= 4  # rounding at the borders of cells
    assert found["percentile_2"] == pytest.approx(np.percentile(x, 2), abs=0.05)
    assert found["percentile_98"] == pytest.approx(np.percentile(x, 98), abs=0.05)


def test_percentiles_of_an_empty_histogram_are_none():
    assert math.isnan(percentile(empty_sums(1)[0], 0.5))


def test_two_passes_of_a_step_add_up_and_so_do_processes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(10, 40)).astype(np.float32)
    layout = signal_layout(x.shape, False)
    once, twice = measured(x, layout), measured(x, layout, times=2)
    both = merged([once, once])
    assert_allclose(both[:, :14], twice[:, :14])
    assert both[0, MAXIMUM] == x.max()
    assert_array_equal(quantities(both, 1.0)[0], quantities(once, 1.0)[0])


def test_scaled_gradients_are_divided_again():
    x = np.random.default_rng(1).normal(size=(10, 40)).astype(np.float32)
    layout = signal_layout(x.shape, False)
    plain, scaled = named(measured(x, layout)), named(measured(x * 1024, layout), scale=1024.0)
    for name in ("mean", "second_moment", "minimum", "percentile_98", "correlation"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-5)


@pytest.mark.parametrize(("shape", "channels"), [((20, 6), False), ((20, 6, 5, 5), True)])
def test_tails_count_saturated_elements_and_dead_units(shape, channels):
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    z[:, 2] = -np.abs(z[:, 2])  # one unit that a ReLU never lets through
    layout = signal_layout(shape, channels)
    row, edges = empty_sums(1)[0], np.array([-1.5, 1.5, 0.0, math.inf])
    tails(z.reshape(-1), layout, edges, row)
    part = looked_at(z, layout)
    assert (row[LOOKED], row[UNITS], row[DEAD]) == (part.size, 6, 1)
    assert row[SATURATED] == (np.abs(part) > 1.5).sum()
    without = empty_sums(1)[0]
    tails(z.reshape(-1), layout, np.array([-1.5, 1.5, -math.inf, math.inf]), without)
    assert (without[SATURATED], without[UNITS]) == (row[SATURATED], 0)  # no unit can be dead


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tensor_in_memory_is_summed_as_an_array_is(dtype):
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(dtype)
    layout, sums = signal_layout(x.shape, False), empty_sums(3)
    signal_at(x.ctypes.data, dtype == np.float64, layout, NO_EDGES, sums, 1)
    assert_array_equal(sums[1:2], measured(x, layout))
    assert_array_equal(sums[[0, 2]], empty_sums(2))


@pytest.mark.parametrize("wide", [False, True])
def test_an_update_is_measured_beside_its_weights(wide):
    rng = np.random.default_rng(0)
    before = rng.normal(size=50_000).astype(np.float64 if wide else np.float32)
    after = before.copy()
    after[::2] += 0.01
    layout = flat_layout(before.size)
    room, sums = np.empty(sampled(layout)), empty_sums(1)
    keep_at(before.ctypes.data, wide, layout, room.ctypes.data, sums, 0)
    moved_at(after.ctypes.data, wide, layout, room.ctypes.data, sums, 0)
    part = looked_at(before, layout)
    squares = (part.astype(np.float64) ** 2).sum()
    assert sums[0, WEIGHT_SQUARES] == pytest.approx(squares, rel=1e-5)
    assert sums[0, UPDATE_SQUARES] == pytest.approx(0.01**2 * part.size / 2, rel=1e-3)
    assert sums[0, UNCHANGED] == part.size / 2
