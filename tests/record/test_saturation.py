"""Saturated elements and dead units, by each activation's own curve."""

import math

import numpy as np
import pytest

from evenflow.record.saturation import saturation
from evenflow.theory.activations import catalogue, find


def normal(shape, sd=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, sd, shape).astype(np.float32)


@pytest.mark.parametrize("name", catalogue())
def test_the_share_is_that_of_small_slopes_in_the_tails(name):
    activation, z = find(name), normal((64, 100), sd=2.0)
    share, _ = saturation(z, activation, unit_axis=1)
    if activation.saturation is None:
        assert math.isnan(share)
        return
    slopes = np.abs(activation.derivative(z.astype(np.float64)))
    greatest = np.abs(activation.derivative(np.linspace(-64, 64, 200_001))).max()
    tails = activation.saturation.contains(z)
    assert share == pytest.approx(tails.mean(), abs=1e-12)
    assert np.all(slopes[tails] <= 0.1 * greatest + 1e-6)


def test_tanh_saturates_beyond_its_own_bend():
    share, dead = saturation(normal((500, 200)), find("tanh"), unit_axis=1)
    assert share == pytest.approx(math.erfc(1.8184464592 / math.sqrt(2)), rel=0.05)
    assert math.isnan(dead)


def test_a_unit_is_dead_only_if_it_is_flat_everywhere():
    z = -np.ones((3, 4, 2, 2))
    z[2, 1, 0, 1] = 0.5  # unit 1 lives on one pixel of one example
    z[:, 3] = 1.0
    share, dead = saturation(z, find("relu"), unit_axis=1)
    assert dead == 2 / 4
    assert share == pytest.approx(1 - (1 + 12) / 48)


def test_zero_is_flat_for_relu():
    assert saturation(np.zeros((2, 3)), find("relu"), unit_axis=1)[1] == 1


def test_a_large_batch_is_taken_in_parts():
    z = np.abs(normal((3000, 1000)))
    z[:-1, 7] *= -1  # alive in the last example alone
    z[:, 8] *= -1
    share, dead = saturation(z, find("relu"), unit_axis=1)
    assert dead == 1 / 1000
    assert share == pytest.approx(5999 / 3_000_000)


def test_without_units_none_can_be_dead():
    share, dead = saturation(-np.ones((2, 3)), find("relu"), unit_axis=None)
    assert share == 1
    assert math.isnan(dead)


def test_an_empty_tensor_has_no_shares():
    assert all(math.isnan(s) for s in saturation(np.zeros((0, 3)), find("relu"), unit_axis=1))
