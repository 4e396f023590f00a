"""The classic table, exact to print, and what becomes of its logistic row."""

import math

import pytest

from evenflow.theory.activations import from_callable
from evenflow.theory.activations.sigmoidal import logistic_curve
from evenflow.theory.constants import ClassicConstant, classic_constants, through_depth


def test_the_classic_table() -> None:
    rows = [
        (row.activation, row.uniform_formula, row.normal_formula) for row in classic_constants()
    ]
    assert rows == [
        ("logistic", "4√(6/(n_in+n_out))", "4√(2/(n_in+n_out))"),
        ("tanh", "√(6/(n_in+n_out))", "√(2/(n_in+n_out))"),
        ("relu", "√2·√(6/(n_in+n_out))", "√2·√(2/(n_in+n_out))"),
    ]


def test_the_numbers_behind_it_are_exact() -> None:
    logistic, tanh, relu = classic_constants()
    assert (logistic.energy, tanh.energy, relu.energy) == (1 / 16, 1.0, 1 / 2)
    assert (logistic.multiplier, tanh.multiplier) == (4.0, 1.0)
    assert relu.multiplier == pytest.approx(math.sqrt(2), rel=1e-15)
    assert logistic.variance(300, 100) == 32 / 400
    assert relu.variance(300, 100) == 4 / 400


@pytest.mark.parametrize("row", classic_constants(), ids=lambda row: row.activation)
def test_formulas_and_numbers_agree(row: ClassicConstant) -> None:
    def value(formula: str) -> float:
        factor, root = formula.rsplit("√(", 1)
        numerator = float(root.split("/")[0])
        multiplier = math.sqrt(2) if factor == "√2·" else float(factor or 1)
        return multiplier * math.sqrt(numerator / 100)

    assert row.uniform_bound(70, 30) == pytest.approx(value(row.uniform_formula), rel=1e-15)
    assert row.normal_std(70, 30) == pytest.approx(value(row.normal_formula), rel=1e-15)
    assert row.uniform_bound(70, 30) ** 2 / 3 == pytest.approx(row.variance(70, 30), rel=1e-15)


def test_the_logistic_row_does_not_hold() -> None:
    states = through_depth("logistic", layers=12)
    assert [state.layer for state in states] == list(range(1, 13))
    assert states[0].data_variance == states[0].second == 1.0
    for state in states[1:]:
        assert state.from_mean == pytest.approx(4, rel=1e-12)  # n·Var W/4
        assert state.second > 4
    for state in states[3:]:
        assert state.kept_forward == pytest.approx(0.4, abs=0.01)
        assert state.kept_backward == pytest.approx(0.4, abs=0.01)


def test_after_30_layers_nothing_is_left_of_the_data() -> None:
    assert through_depth("logistic", layers=30)[-1].data_variance < 1e-11


def test_centring_mends_most_of_it() -> None:
    centred = from_callable(
        lambda z: logistic_curve(z) - 0.5, lambda z: logistic_curve(z) * logistic_curve(-z)
    )
    states = through_depth(centred, layers=12)
    assert all(state.from_mean < 1e-20 for state in states)
    assert min(state.kept_forward for state in states[1:]) > 0.75
    assert states[-1].kept_forward > 0.9


def test_relu_keeps_its_second_moment_and_its_gradient() -> None:
    for state in through_depth("relu", layers=20):
        assert state.second == pytest.approx(1, rel=1e-12)
        assert state.kept_backward == pytest.approx(1, rel=1e-12)
