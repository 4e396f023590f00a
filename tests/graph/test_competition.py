"""Softmax of independent Gaussian logits: closed forms, then draws."""

import numpy as np
import pytest

from evenflow.graph.softmax.competition import competition


def at(variance, *keys):
    return competition(variance, np.array(keys, dtype=float))


def test_a_single_key_gets_everything():
    found = at(2.0, 1)
    assert found.square[0] == pytest.approx(1, abs=1e-6)
    assert found.cube[0] == pytest.approx(1, abs=1e-6)
    assert found.square_of_square[0] == pytest.approx(1, abs=1e-6)
    assert found.logarithm[0] == pytest.approx(0, abs=1e-6)


def test_equal_logits_share_evenly():
    found = at(0.0, 3, 50)
    np.testing.assert_allclose(found.square, 1)
    np.testing.assert_allclose(found.logarithm, np.log([3, 50]))


@pytest.mark.parametrize("keys", [2, 7, 300])
def test_small_logits_move_probabilities_by_themselves_less_their_mean(keys):
    variance = 1e-4
    assert at(variance, keys).square[0] - 1 == pytest.approx(variance * (1 - 1 / keys), rel=1e-2)


def test_among_many_keys_probabilities_are_lognormal():
    variance, keys = 0.5, 1e6
    found = at(variance, keys)
    assert found.square[0] == pytest.approx(np.exp(variance), rel=1e-4)
    assert found.cube[0] == pytest.approx(np.exp(3 * variance), rel=1e-3)
    assert found.logarithm[0] == pytest.approx(np.log(keys) + variance / 2, rel=1e-6)


@pytest.mark.parametrize(("variance", "keys"), [(0.3, 8), (1.0, 40), (4.0, 12), (9.0, 3)])
def test_draws_agree(variance, keys):
    u = np.random.default_rng(0).normal(0, variance**0.5, (200_000, keys))
    total = np.exp(u).sum(axis=1)
    p = np.exp(u) / total[:, None]
    squares = (p**2).sum(axis=1)
    found = at(variance, keys)
    assert found.square[0] == pytest.approx(keys * squares.mean(), rel=0.01)
    assert found.cube[0] == pytest.approx(keys**2 * (p**3).sum(axis=1).mean(), rel=0.02)
    assert found.square_of_square[0] == pytest.approx(keys**2 * (squares**2).mean(), rel=0.02)
    assert found.logarithm[0] == pytest.approx(np.log(total).mean(), abs=0.02)


def test_many_numbers_of_keys_are_interpolated():
    keys = np.arange(1.0, 1001.0)
    np.testing.assert_allclose(
        competition(1.0, keys).square[::97],
        [at(1.0, n).square[0] for n in keys[::97]],
        rtol=2e-3,
    )


def test_of_very_unlike_logits_the_largest_takes_nearly_all():
    keys = 20
    found = at(80.0, keys), at(1e4, keys)
    u = np.random.default_rng(0).normal(0, 80**0.5, (100_000, keys))
    p = np.exp(u - u.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    assert found[0].square[0] == pytest.approx(keys * (p**2).sum(axis=1).mean(), rel=0.01)
    assert found[0].square[0] <= found[1].square[0] <= keys
