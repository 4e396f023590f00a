"""What the values are like: exactly, over all words alike, and in random draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling import sample
from evenflow.sampling.contract import recipe
from evenflow.sampling.reference import integers, wide_integers

Elementwise = Uniform | Normal | TruncatedNormal

WORDS = (np.arange(1 << 19, dtype=np.uint32) << np.uint32(13)) | np.uint32(1 << 12)
"""Evenly spaced words: averages over them are integrals over the distribution."""

LAWS = [
    Uniform(0.3),
    Normal(2.0),
    TruncatedNormal(0.5, 2.0),
    TruncatedNormal(1.0, 0.5),
    TruncatedNormal(1.0, 4.0),
]


def cdf(distribution: Elementwise, x: NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(distribution, Uniform):
        return (x / distribution.bound + 1) / 2
    if isinstance(distribution, Normal):
        return special.ndtr(x / distribution.std)
    below = special.ndtr(-distribution.cut)
    return (special.ndtr(x / distribution.parent_std) - below) / (1 - 2 * below)


def of_words(distribution: Elementwise, words: NDArray[np.uint32]) -> NDArray[np.float64]:
    how = recipe(distribution, "float32", "w")
    return integers(words, how) * how.scale


@pytest.mark.parametrize("distribution", LAWS, ids=str)
def test_every_word_is_its_quantile(distribution: Elementwise) -> None:
    values = of_words(distribution, WORDS)
    assert np.diff(values).min() >= 0
    kept = math.erf(distribution.cut / math.sqrt(2)) if hasattr(distribution, "cut") else 1.0
    error = np.abs(cdf(distribution, values) - (WORDS + 0.5) / 2**32).max()
    assert error < 1.3e-6 / kept  # what straight lines between the table's knots leave


@pytest.mark.parametrize("distribution", LAWS, ids=str)
def test_second_moment_is_the_stated_one(distribution: Elementwise) -> None:
    second = (of_words(distribution, WORDS) ** 2).mean()
    assert second == pytest.approx(distribution.second_moment, rel=1e-5)


@pytest.mark.parametrize("distribution", LAWS, ids=str)
def test_opposite_words_give_opposite_values(distribution: Elementwise) -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    assert (of_words(distribution, words) == -of_words(distribution, ~words)).all()
    positions = words.astype(np.uint64) << np.uint64(21)
    how = recipe(distribution, "float64", "w")
    opposite = np.uint64(2**53 - 1) - positions
    assert (wide_integers(positions, how) == -wide_integers(opposite, how)).all()


def test_integers_convert_to_floats_exactly() -> None:
    words = np.concatenate([WORDS, ~WORDS, np.array([0, 2**32 - 1], np.uint32)])
    for distribution in (Uniform(1.0), Normal(1.0), TruncatedNormal(1.0)):
        made = integers(words, recipe(distribution, "float32", "w"))
        assert np.abs(made.astype(np.int64)).max() < 2**24
        positions = words.astype(np.uint64) << np.uint64(21)
        wide = wide_integers(positions, recipe(distribution, "float64", "w"))
        assert np.abs(wide).max() < 2**53


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cut", [0.1, 1.0, 2.0, 3.0])
def test_truncation_is_exact(cut: float, dtype: str) -> None:
    law = TruncatedNormal(1.0, cut)
    how = recipe(law, dtype, "w")  # type: ignore[arg-type]
    bits, made_of = (53, wide_integers) if dtype == "float64" else (32, integers)
    half = 2 ** (bits - 1)
    ends = np.array([0, 1, half - 1, half, 2 * half - 2, 2 * half - 1], np.uint64)
    values = made_of(ends if bits == 53 else ends.astype(np.uint32), how) * how.scale
    assert np.abs(values).max() <= cut * law.parent_std * (1 + 2.0**-24)
    assert values.max() == pytest.approx(cut * law.parent_std, rel=1e-5)
    assert values.min() == -values.max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("distribution", LAWS, ids=str)
def test_random_draws_follow_the_distribution(distribution: Elementwise, dtype: str) -> None:
    n = 1 << 20
    values = sample(distribution, (n,), seed=11, name="h.0.weight", dtype=dtype)  # type: ignore[arg-type]
    x = values.astype(np.float64) / math.sqrt(distribution.second_moment)
    kurtosis = float((x**4).mean())
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs((x**2).mean() - 1) < 4 * math.sqrt((kurtosis - 1) / n)
    assert abs((x**3).mean()) < 4 * math.sqrt((x**6).mean() / n)
    assert stats.kstest(values.astype(np.float64), lambda x: cdf(distribution, x)).pvalue > 1e-3


def test_tails_have_their_share() -> None:
    values = sample(Normal(1.0), (1 << 22,), seed=3, name="weight")
    for cut in (2.0, 3.0, 4.0):
        expected = values.size * 2 * special.ndtr(-cut)
        assert abs((np.abs(values) > cut).sum() - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize(
    ("seed", "name"), [(0, "h.1.weight"), (1, "h.0.weight"), (0, "h.0.bias"), (0, "h.0.weigh")]
)
def test_neighbouring_seeds_and_names_are_independent(seed: int, name: str) -> None:
    mine = sample(Normal(1.0), (1 << 20,), seed=0, name="h.0.weight")
    theirs = sample(Normal(1.0), (1 << 20,), seed=seed, name=name)
    bound = 4 / math.sqrt(mine.size)
    assert abs(np.corrcoef(mine, theirs)[0, 1]) < bound
    assert abs(np.corrcoef(mine**2, theirs**2)[0, 1]) < bound


@pytest.mark.parametrize("lag", [1, 31, 32, 96, 128, 4096])
def test_neighbouring_elements_are_independent(lag: int) -> None:
    values = sample(Normal(1.0), (1 << 20,), seed=0, name="weight")
    here, there = values[:-lag], values[lag:]
    bound = 4 / math.sqrt(here.size)
    assert abs(np.corrcoef(here, there)[0, 1]) < bound
    assert abs(np.corrcoef(here**2, there**2)[0, 1]) < bound


def test_dtypes_agree_to_their_resolution() -> None:
    single = sample(Normal(1.0), (10_000,), seed=0, name="weight")
    double = sample(Normal(1.0), (10_000,), seed=0, name="weight", dtype="float64")
    half = sample(Normal(1.0), (10_000,), seed=0, name="weight", dtype="float16")
    assert np.abs(single - double).max() < 1e-5
    assert (half == single.astype(np.float16)).all()
