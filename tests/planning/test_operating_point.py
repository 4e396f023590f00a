"""Operating points: the price that a plan prints, against mean field and against real networks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from evenflow.planning.operating_point import operating_point
from evenflow.planning.response import mixed, response
from evenflow.planning.stack import mean_field, simulate
from evenflow.theory.activations import find
from evenflow.theory.gain import gain


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "silu", "softsign"])
@pytest.mark.parametrize("q", [0.05, 1.0, 7.0])
def test_tables_agree_with_exact_gains(name: str, q: float) -> None:
    table, exact = response(find(name)), gain(name, q=q)
    log_q = np.asarray(np.log(q))
    assert_allclose(np.exp(table.second(log_q)), exact.second, rtol=3e-3)
    assert_allclose(np.exp(table.backward(log_q)), exact.backward, rtol=3e-3)
    assert_allclose(table.slope(log_q), exact.q_slope, rtol=0.02)


def test_hermite_degrees_are_the_shared_part_map() -> None:
    table, exact = response(find("gelu")), gain("gelu", q=1.0)
    correlations = np.array([0.0, 0.3, 0.9, 1.0])
    degrees = table.at(table.degrees, np.zeros(4))
    shared = [exact.shared(c) / exact.second for c in correlations]
    assert_allclose(mixed(degrees, correlations), shared, atol=1e-3)


def test_relu_fluctuations_have_their_closed_form() -> None:
    table = response(find("relu"))
    assert_allclose(
        np.interp(0.0, table.log_q, table.spread_forward), 5.0, rtol=1e-3
    )  # (3/2)/(1/2)² − 1
    assert_allclose(np.interp(0.0, table.log_q, table.spread_slope), 1.0, rtol=1e-3)


def test_homogeneous_activations_pay_nothing_in_mean_field() -> None:
    point = operating_point(find("relu"), 30, 10**6)
    assert_allclose([point.forward, point.backward], 1.0, atol=0.02)
    assert point.q == 1.0
    assert not point.unstable


@pytest.mark.parametrize(
    ("name", "bar"), [("tanh", 4), ("sin", 4), ("selu", 4), ("elu", 4), ("softsign", 6)]
)
def test_thirty_layers_stay_within_their_bar(name: str, bar: float) -> None:
    assert operating_point(find(name), 30, 256).price < bar


@pytest.mark.parametrize("name", ["logistic", "softplus", "squared_relu"])
def test_activations_without_a_good_point_are_warned_of(name: str) -> None:
    notes = operating_point(find(name), 30, 256).notes()
    assert any("no operating point" in note and "normalise" in note for note in notes)


def test_a_slope_above_one_is_named_with_its_remedy() -> None:
    point = operating_point(find("silu"), 30, 256)
    assert point.unstable
    assert any('calibrate="noise"' in note for note in point.notes())


def test_mean_field_is_the_limit_of_wide_stacks() -> None:
    table = response(find("tanh"))
    travel = simulate(table, 0.8, 20, 10**7, draws=4, examples=4, rng=np.random.default_rng(0))
    forward, backward = mean_field(table, 0.8, 20)
    assert_allclose(travel.forward[:, -1], forward, atol=0.01)
    assert_allclose(travel.ideal[-1], forward, atol=1e-9)
    assert_allclose(travel.backward, backward, atol=0.02)


@pytest.mark.parametrize("name", ["tanh", "softsign"])
def test_printed_intervals_hold_real_networks(name: str) -> None:
    """Twelve real draws at a fixed gain: most end inside the simulated 5 to 95 % interval."""
    depth, width, rows = 20, 128, 128
    function = {"tanh": torch.tanh, "softsign": torch.nn.functional.softsign}[name]
    point = operating_point(find(name), depth, width)
    exact = gain(name, q=point.q)
    std = (2 / (width * (exact.forward + exact.backward))) ** 0.5
    low, high = point.forward_interval
    inside = 0
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(rows, width, generator=generator)
        first = float(z.square().mean())
        for _ in range(depth - 1):
            z = function(z) @ (torch.randn(width, width, generator=generator) * std)
        inside += low * 0.97 <= float(z.square().mean()) / first <= high * 1.03
    assert inside >= 9
