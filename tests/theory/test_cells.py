"""Gains of recurrent cells against the cells themselves, near zero."""

import math

import numpy as np
import pytest

from evenflow.graph.recurrent.cells import CELLS
from evenflow.theory.cells import CELL_GAINS

SMALL = 1e-3
UNITS, STEPS = 40_000, 30


def passed(kind, inputs, recurrent):
    """Second moment of the last state over that of the pre-activations, of small ones."""
    cell = CELLS[kind]
    state = tuple(np.zeros((1, UNITS)) for _ in range(cell.states))
    for t in range(STEPS):
        state, _ = cell.forward(SMALL * inputs(t), SMALL * recurrent(t), state)
    return np.mean(state[0] ** 2) / SMALL**2


def white(rng, gates):
    return lambda _t: rng.standard_normal((gates, 1, UNITS))


def slow(rng, gates):
    value = rng.standard_normal((gates, 1, UNITS))
    return lambda _t: value


def nothing(_t):
    return np.zeros((4, 1, 1))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_gain_is_the_geometric_mean_of_what_white_and_slow_signals_need(kind):
    rng, gates, cell = np.random.default_rng(0), CELLS[kind].gates, CELL_GAINS[kind]
    need_white = 1 / passed(kind, white(rng, gates), nothing) - cell.recurrent
    need_slow = 1 / passed(kind, slow(rng, gates), nothing) - cell.recurrent
    assert cell.entering == pytest.approx(math.sqrt(need_white * need_slow), rel=0.05)
    assert cell.white == pytest.approx(cell.entering / need_white, rel=0.05)
    assert cell.slow == pytest.approx(cell.entering / need_slow, rel=0.05)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_weights_count_by_what_reaches_the_candidate(kind):
    rng, gates, cell = np.random.default_rng(0), CELLS[kind].gates, CELL_GAINS[kind]
    alone = passed(kind, nothing, white(rng, gates)) / passed(kind, white(rng, gates), nothing)
    assert alone == pytest.approx(cell.recurrent, rel=0.1)


def test_values():
    assert CELL_GAINS["lstm"].entering == pytest.approx(math.sqrt(11 * 3))
    assert CELL_GAINS["gru"].entering == pytest.approx(math.sqrt(2.75 * 0.75))
    assert CELL_GAINS["lstm"].passed == pytest.approx(1 / (1 + math.sqrt(33)))
