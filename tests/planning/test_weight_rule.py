"""Schemes without a graph: the same variances as a plan's, gains by the caller's word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.planning.distributions import Constant, DeltaOrthogonal, Normal, Orthogonal, Uniform
from evenflow.planning.layout import Layout
from evenflow.planning.operating_point import operating_point
from evenflow.planning.weight_rule import WeightRule
from evenflow.theory.activations import find
from evenflow.theory.gain import gain


def test_schemes_take_the_layouts_fans() -> None:
    assert WeightRule("glorot_uniform").distribution((30, 20)) == Uniform(math.sqrt(6 / 50))
    for layout, shape in ((Layout(), (3, 3, 8, 4)), (Layout(1, 0), (4, 8, 3, 3))):
        he = WeightRule("he_normal", layout=layout).distribution(shape)
        assert he == Normal(math.sqrt(2 / 72))


def test_gain_scales_the_values() -> None:
    assert WeightRule("lecun_normal", gain=3.0).distribution((16, 5)) == Normal(3 / 4)
    assert WeightRule(Normal(0.02), gain=0.5).distribution((7,)) == Normal(0.01)


def test_auto_makes_up_for_the_activation() -> None:
    at = gain("tanh")
    variance = 2 / (30 * at.forward + 20 * at.backward)
    assert WeightRule("auto", activation="tanh").distribution((30, 20)).std == pytest.approx(
        math.sqrt(variance)
    )
    deep = gain("tanh", operating_point(find("tanh"), 20, 30).q)
    variance = 2 / (30 * deep.forward + 20 * deep.backward)
    rule = WeightRule("auto", activation="tanh", depth=20)
    assert rule.distribution((30, 20)).std == pytest.approx(math.sqrt(variance))


def test_auto_without_an_activation_is_glorot() -> None:
    assert WeightRule("auto").distribution((30, 20)) == Normal(math.sqrt(2 / 50))


def test_orthogonal_is_one_of_matrices_and_of_convolutions() -> None:
    assert WeightRule("orthogonal").distribution((30, 20)) == Orthogonal(1.0)
    assert WeightRule("orthogonal").distribution((3, 3, 8, 4)) == DeltaOrthogonal(1.0)
    stacked = WeightRule("orthogonal", layout=Layout(batch_axis=0)).distribution((5, 30, 20))
    assert stacked == Normal(30**-0.5)


def test_a_distribution_needs_no_fans() -> None:
    rule = WeightRule(Normal(0.02))
    assert rule.drawn_shape((7,)) == (7,)
    assert rule.hand_over(np.arange(7), (7,)).tolist() == list(range(7))
    assert rule.drawn_shape((7, 3)) == (3, 7)


def test_nothing_to_draw() -> None:
    assert WeightRule("he_normal").distribution((0, 4)) == Constant(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "xavier"}, "no scheme"),
        ({"scheme": "he_normal", "activation": "relu"}, "knows no activations"),
        ({"scheme": "orthogonal", "activation": "relu"}, "knows no activations"),
        ({"scheme": Normal(1.0), "activation": "relu"}, "whatever the activation"),
        ({"scheme": "auto", "depth": 3}, "depth"),
        ({"scheme": "auto", "activation": "relu", "depth": 0}, "depth"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightRule(**arguments)  # type: ignore[arg-type]
