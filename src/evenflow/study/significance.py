"""Whether two networks differ on the same test images: McNemar's test and the z-test."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.005
"""The level of the paper's Table 1."""

Wrong = NDArray[np.bool_]


def mcnemar(first: Wrong, second: Wrong) -> float:
    """p that two classifiers err equally often, from which of the same images each got wrong.

    Exact and two-sided: of the images that one alone got wrong, each is as likely to be the
    first's as the second's (McNemar 1947, with the binomial distribution in place of χ²).
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def two_proportions(first: float, second: float, images: int) -> float:
    """p that two error rates, each on ``images`` images, are of one proportion (pooled z-test).

    It takes the images for independent draws, which those of one test set are not.
    """
    pooled = (first + second) / 2
    spread = math.sqrt(2 * pooled * (1 - pooled) / images)
    if spread == 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(first - second) / spread))
