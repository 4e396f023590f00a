"""The table, recomputed, and what it makes of the tails."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import special

from evenflow.sampling.quantile import KNOTS, magnitude
from evenflow.sampling.reference import wide_magnitude


def test_knots_are_the_rounded_quantiles() -> None:
    with mpmath.workdps(40):
        expected = []
        for knot in range(31 * 128 + 1):
            tail = mpmath.mpf(2) ** (knot // 128) * (1 + mpmath.mpf(knot % 128) / 128)
            z = mpmath.sqrt(2) * mpmath.erfinv(1 - tail / mpmath.mpf(2) ** 31)
            expected.append(int(mpmath.nint(z * 2**21)))
    assert KNOTS.tolist() == expected


def test_products_stay_within_32_bits_and_results_within_24() -> None:
    drops = -np.diff(KNOTS.astype(np.int64))
    assert drops.min() > 0
    assert drops.max() * (2**16 - 1) < 2**32
    assert KNOTS.max() < 2**24


def every_kind_of_tail() -> np.ndarray:
    powers = [2**k + d for k in range(1, 31) for d in (-2, -1, 0, 1, 2)]
    spread = np.linspace(0, 2**31 - 1, 200_001).astype(np.int64)
    return np.unique(np.concatenate([np.arange(4096), powers, spread])).astype(np.uint32)


def test_magnitude_never_rises_with_the_tail() -> None:
    assert np.diff(magnitude(every_kind_of_tail()).astype(np.int64)).max() <= 0


def test_magnitude_is_the_quantile() -> None:
    tails = every_kind_of_tail()
    exact = -special.ndtri((tails | 1) / 2**32)
    assert np.abs(magnitude(tails) * 2.0**-21 - exact).max() < 6e-6
    probability = special.ndtr(-magnitude(tails) * 2.0**-21)
    assert np.abs(probability - (tails | 1) / 2**32).max() < 1.3e-6
    assert np.abs(probability / ((tails | 1) / 2**32) - 1).max() < 2e-5


@pytest.mark.parametrize(("word", "sigmas"), [(0, -6.2303), (2**32 - 1, 6.2303)])
def test_extreme_words_lie_past_six_sigma(word: int, sigmas: float) -> None:
    from evenflow.sampling.contract import Recipe
    from evenflow.sampling.reference import integers

    made = integers(np.array([word], np.uint32), Recipe(uniform=False, low=0, scale=1.0))
    assert made[0] * 2.0**-21 == pytest.approx(sigmas, abs=1e-4)


def test_the_wide_table_refines_the_narrow_one() -> None:
    tails = every_kind_of_tail()
    odd = tails | np.uint32(1)
    significant = np.where(odd >= 2**24, odd & np.uint32(0xFFFFFF80), odd).astype(np.uint64)
    wide = wide_magnitude(significant << np.uint64(21))
    assert (-(-wide // 2**29) == magnitude(tails)).all()
    assert wide.max() < 2**53


def test_the_wide_table_ends_where_the_narrow_one_does() -> None:
    ends = wide_magnitude(np.array([0, 2**21 - 1, 2**21, 2**52 - 1], np.uint64))
    assert ends[0] == ends[1] == int(KNOTS[0]) * 2**29
    assert 0 < ends[1] - ends[2] < 2**27
    assert 0 <= ends[3] < 2**4
