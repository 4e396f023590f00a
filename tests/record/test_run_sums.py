"""The fused pass over a training's tensors, against plain NumPy on the same sample."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from evenflow.record.run_kernels import keep, moved, tails, tally
from evenflow.record.run_layout import ELEMENTS, EXAMPLES, flat_layout, sampled, signal_layout
from evenflow.record.run_sums import (
    CELLS,
    COUNT,
    MAXIMUM,
    PLACES,
    QUANTITIES,
    UNCHANGED,
    empty_sums,
    merged,
    percentile,
    quantities,
)

ROOM = 2**17


def measured(x: np.ndarray, layout: np.ndarray, times: int = 1) -> np.ndarray:
    """Sums of one tensor."""
    sums, room, found = empty_sums(1), np.zeros(3 * ROOM, x.dtype), np.zeros(ROOM, np.int32)
    for _ in range(times):
        tally(x.reshape(-1), layout, room, found, sums[0])
    return sums


def named(sums: np.ndarray, scale: float = 1.0) -> dict[str, float]:
    return dict(zip(QUANTITIES, quantities(sums, scale)[0].tolist(), strict=True))


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
    nothing = percentile(np.zeros((1, CELLS), np.int32), np.zeros(1), np.ones(1), 0.5)
    assert math.isnan(nothing[0])


def test_two_passes_of_a_step_add_up_and_so_do_processes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(10, 40)).astype(np.float32)
    layout = signal_layout(x.shape, False)
    once, twice = measured(x, layout), measured(x, layout, times=2)
    both = merged([once, once])
    assert_allclose(both[:, :14], twice[:, :14])
    assert both[0, MAXIMUM] == x.max()
    assert_array_equal(quantities(both), quantities(once))


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
    looked, inside, units, dead = tails(
        z.reshape(-1), layout, (-1.5, 1.5), (0.0, math.inf), np.zeros(ROOM, bool)
    )
    part = looked_at(z, layout)
    assert (looked, units, dead) == (part.size, 6, 1)
    assert inside == (np.abs(part) > 1.5).sum()


def test_an_update_is_measured_beside_its_weights():
    rng = np.random.default_rng(0)
    before = rng.normal(size=50_000).astype(np.float32)
    after = before.copy()
    after[::2] += 0.01
    layout = flat_layout(before.size)
    kept, row = np.empty(sampled(layout), np.float32), empty_sums(1)[0]
    squares = keep(before, layout, kept)
    change = moved(after, layout, kept, row)
    part = looked_at(before, layout)
    assert squares == pytest.approx((part.astype(np.float64) ** 2).sum(), rel=1e-5)
    assert change == pytest.approx(0.01**2 * part.size / 2, rel=1e-3)
    assert row[UNCHANGED] == part.size / 2
