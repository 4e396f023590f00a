"""Statistics against plain NumPy, against closed forms, and against repeated draws."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from evenflow.errors import InputError
from evenflow.record.statistics import CELLS, SAMPLE, measure


def shared(x: np.ndarray) -> float:
    """E over elements of products of different examples, straight from the definition."""
    b = len(x)
    products = [(x[i] * x[j]).mean() for i in range(b) for j in range(b) if i != j]
    return float(np.mean(products))


@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float64, np.float32, np.float16]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_numpy(shape, seed, dtype, data):
    x = np.random.default_rng(seed).normal(1.0, 2.0, shape).astype(dtype)
    axes = list(range(len(shape)))
    example_axis = data.draw(st.sampled_from([*axes, None]))
    unit_axis = data.draw(st.sampled_from([a for a in axes if a != example_axis] + [None]))
    got = measure(x, unit_axis=unit_axis, example_axis=example_axis)
    exact = x.astype(np.float64)
    assert got.count == x.size
    assert_allclose(got.mean, exact.mean(), rtol=1e-12, atol=1e-14)
    assert_allclose(got.variance, exact.var(), rtol=1e-9, atol=1e-14)
    assert_allclose(got.second_moment, (exact**2).mean(), rtol=1e-12)
    assert (got.minimum, got.maximum) == (exact.min(), exact.max())
    assert_allclose((got.percentile_2, got.percentile_98), np.percentile(exact, (2, 98)))
    assert sum(got.histogram.counts) == x.size
    assert got.nonfinite == 0
    if example_axis is None or shape[example_axis] == 1:
        assert np.isnan(got.correlation)
        return
    by_example = np.moveaxis(exact, example_axis, 0)
    assert_allclose(got.correlation * got.second_moment, shared(by_example), atol=1e-12)
    if unit_axis is None:
        assert np.isnan(got.unit_mean_square)
        assert np.isnan(got.effective_rank)
        return
    others = tuple(a for a in axes if a not in (example_axis, unit_axis))
    means = exact.mean(axis=others, keepdims=True) if others else exact
    assert_allclose(got.unit_mean_square, shared(np.moveaxis(means, example_axis, 0)), atol=1e-12)


def test_channels_first_and_last_measure_the_same():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 3, 5, 5)).astype(np.float32)
    last = np.ascontiguousarray(first.transpose(0, 2, 3, 1))
    a, b = measure(first, unit_axis=1), measure(last, unit_axis=-1)
    strided = measure(last.transpose(0, 3, 1, 2), unit_axis=1)
    for other in (b, strided):
        assert_allclose(a.mean, other.mean)
        assert_allclose(a.correlation, other.correlation)
        assert_allclose(a.unit_mean_square, other.unit_mean_square)


def test_examples_may_lie_along_any_axis():
    x = np.random.default_rng(1).normal(size=(7, 4, 6))
    a = measure(x, unit_axis=2, example_axis=1)
    b = measure(np.moveaxis(x, 1, 0), unit_axis=2, example_axis=0)
    assert_allclose((a.correlation, a.unit_mean_square), (b.correlation, b.unit_mean_square))


def test_shared_parts_are_unbiased_for_few_examples():
    """x = common + private: s_B is the variance of what is common, whatever the batch."""
    rng = np.random.default_rng(2)
    common_variance, draws, batch = 0.3, 400, 3
    parts = []
    for _ in range(draws):
        common = rng.normal(0, common_variance**0.5, (1, 50))
        x = common + rng.normal(0, (1 - common_variance) ** 0.5, (batch, 50))
        got = measure(x, unit_axis=1)
        parts.append((got.correlation * got.second_moment, got.unit_mean_square))
    error = np.std(parts, axis=0) / draws**0.5
    assert np.all(np.abs(np.mean(parts, axis=0) - common_variance) < 4 * error)
    # A biased estimate, which counts each example with itself, would be off by 0.7/3.
    assert np.all(4 * error < 0.05)


def test_a_large_mean_does_not_swallow_the_variance():
    x = 1e4 + np.random.default_rng(3).normal(0, 1e-2, (64, 100))
    assert_allclose(measure(x, unit_axis=1).variance, x.var(), rtol=1e-6)


def test_nonfinite_elements_are_counted_and_left_out():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    x[0, 1], x[2, 3] = np.nan, -np.inf
    got = measure(x, unit_axis=1)
    finite = x[np.isfinite(x)].astype(float)
    assert got.nonfinite == 2
    assert_allclose((got.mean, got.variance), (finite.mean(), finite.var()))
    assert (got.minimum, got.maximum) == (0, 10)
    assert np.isnan(got.correlation)
    nothing = measure(np.full((2, 2), np.nan), unit_axis=1)
    assert nothing.nonfinite == 4
    assert np.isnan(nothing.mean)
    assert nothing.histogram.counts == ()


def test_empty_and_constant_tensors():
    assert measure(np.zeros((0, 3)), unit_axis=1).count == 0
    zeros = measure(np.zeros((4, 3)), unit_axis=1)
    assert zeros.zero_share == 1
    assert zeros.variance == 0
    assert np.isnan(zeros.correlation)
    ones = measure(np.ones((4, 3)), unit_axis=1)
    assert_allclose((ones.correlation, ones.effective_rank), (1, 1))
    assert sum(ones.histogram.counts) == 12


def test_sampled_percentiles_keep_their_stated_error():
    x = np.random.default_rng(4).normal(size=(1000, 1024)).astype(np.float32)
    got = measure(x, unit_axis=1)
    bound = 4 * 0.016  # four standard errors, in units of σ = 1
    assert_allclose((got.percentile_2, got.percentile_98), (-2.054, 2.054), atol=bound)
    assert sum(got.histogram.counts) == SAMPLE
    assert len(got.histogram.counts) == CELLS


def test_the_sample_has_no_rhythm():
    """Every 64th column is 10; a sample that keeps step with the columns would see all or none."""
    x = np.zeros((4096, 64), dtype=np.float32)
    x[:, 0] = 10
    counts = measure(x, unit_axis=1).histogram.counts
    assert counts[-1] / sum(counts) == pytest.approx(1 / 64, rel=0.05)


def test_the_histogram_keeps_to_four_sigma():
    x = np.random.default_rng(5).normal(size=10_000)
    x[0] = 1e6
    histogram = measure(x[:, None], unit_axis=1).histogram
    spread = x.std()
    assert histogram.high == pytest.approx(x.mean() + 4 * spread)
    assert histogram.counts[-1] == 1


@pytest.mark.parametrize("rank", [1, 5, 40])
def test_effective_rank_is_the_dimension_of_an_isotropic_subspace(rank):
    rng = np.random.default_rng(rank)
    basis, _ = np.linalg.qr(rng.normal(size=(200, rank)))
    x = rng.normal(size=(2000, rank)) @ basis.T
    assert measure(x, unit_axis=1).effective_rank == pytest.approx(rank, rel=0.1)


def test_effective_rank_is_not_capped_by_the_rows_looked_at():
    x = np.random.default_rng(6).normal(size=(300, 1000))
    assert measure(x, unit_axis=1).effective_rank == pytest.approx(1000, rel=0.1)


def test_effective_rank_follows_the_spectrum():
    rng = np.random.default_rng(7)
    variances = 0.5 ** np.arange(30)
    x = rng.normal(size=(20_000, 30)) * np.sqrt(variances)
    expected = variances.sum() ** 2 / (variances**2).sum()
    assert measure(x, unit_axis=1).effective_rank == pytest.approx(expected, rel=0.2)


def test_one_example_alone_has_no_effective_rank():
    """Rank is told from pairs of different rows: with all but one at zero there is no pair."""
    assert np.isnan(measure(np.array([[1.0, 2.0], [0.0, 0.0]]), unit_axis=1).effective_rank)
    right_angles = measure(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), unit_axis=1)
    assert right_angles.effective_rank == 3


def test_memory_does_not_grow_with_the_batch():
    def peak(batch: int) -> int:
        x = np.ones((batch, 4096), dtype=np.float32)
        measure(x, unit_axis=1)
        tracemalloc.start()
        measure(x, unit_axis=1)
        _, high = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return high

    assert peak(2048) < 1.1 * peak(256)


def test_wrong_arguments_are_told():
    with pytest.raises(InputError, match="not of int64"):
        measure(np.zeros((2, 2), dtype=np.int64), unit_axis=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="outside a tensor of 2 axes"):
        measure(np.zeros((2, 2)), unit_axis=2)
    with pytest.raises(InputError, match="cannot be both"):
        measure(np.zeros((2, 2)), unit_axis=-2)
