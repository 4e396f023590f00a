"""The two tests of Table 1, against closed forms and the paper's own bold face."""

import numpy as np
import pytest
from scipy import stats

from evenflow.study.glorot2010.table1 import BOLD, PUBLISHED
from evenflow.study.significance import LEVEL, mcnemar, two_proportions


def wrong(ones, images):
    mask = np.zeros(images, dtype=bool)
    mask[ones] = True
    return mask


def test_mcnemar_looks_only_at_images_that_one_of_the_two_got_wrong():
    first, second = wrong([0, 1, 2, 3, 4, 5], 100), wrong([0, 1], 100)
    assert mcnemar(first, second) == pytest.approx(2 * 0.5**4)
    assert mcnemar(first, second) == mcnemar(second, first)
    assert mcnemar(first, first) == 1
    assert mcnemar(wrong([], 100), wrong([], 100)) == 1


def test_the_z_test_is_the_square_root_of_pearsons():
    for first, second in ((0.15, 0.16), (0.5, 0.53), (0.02, 0.01)):
        n = 1000
        table = [[first * n, n - first * n], [second * n, n - second * n]]
        expected = stats.chi2_contingency(table, correction=False).pvalue
        assert two_proportions(first, second, n) == pytest.approx(expected, rel=1e-9)
    assert two_proportions(0.0, 0.0, 100) == 1


@pytest.mark.parametrize(("column", "data"), [(0, "shapeset"), (2, "cifar10")])
def test_the_z_test_gives_the_papers_bold_on_shapeset_and_cifar(column, data):
    errors = {name: row[column] / 100 for name, row in PUBLISHED.items()}
    best = min(errors.values())
    apart = {name for name, e in errors.items() if two_proportions(e, best, 10_000) < LEVEL}
    assert set(errors) - apart == set(BOLD[data])
