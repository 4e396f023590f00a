"""Cumulative sums and comparisons: against NumPy, on tensors whose parts are shared."""

import numpy as np
import pytest

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.drawn import drawn
from evenflow.graph.numbers.measured import measured
from evenflow.graph.rules import RULES, Step
from evenflow.graph.rules.cumulative import cumulated

ROLES, SHAPE = ("examples", "positions", "units"), (30, 12, 40)


def of_parts(mean=0.3):
    found = Moments.constant(mean, SHAPE)
    for variance, shape in ((0.3, (30, 1, 1)), (0.4, (40,)), (1.0, SHAPE)):
        found = found.plus(Moments.independent(0.0, variance, shape, ROLES[-len(shape) :]))
    return found


def real(x, function, draws=40, distances=10):
    """Mean over draws of what is measured of a function of tensors like x."""
    generator = np.random.default_rng(0)
    each = [measured(function(drawn(x, generator)), ROLES, distances) for _ in range(draws)]
    return float(np.mean([m.mean for m in each])), np.mean([m.pairs for m in each], axis=0)


def test_cumulative_sums_at_every_distance():
    x = of_parts()
    found = cumulated(x, 1)
    mean, pairs = real(x, lambda values: values.cumsum(axis=1))
    assert found.mean == pytest.approx(mean, rel=0.05)
    np.testing.assert_allclose(found.pairs, pairs, atol=0.04 * pairs.flat[0])


def test_a_sum_of_one_and_the_same_number():
    """x_j = 1: y_i = i + 1, E[y²] = (n + 1)(2n + 1)/6."""
    found = cumulated(Moments.constant(1.0, (4, 9)), 1)
    assert found.second == pytest.approx(10 * 19 / 6)
    assert found.mean == pytest.approx(5.0)


def test_gradients_are_summed_from_the_other_end():
    node = Node("y", "cumsum", {"input": Ref("x"), "dim": -1}, (6, 9))
    step = Step(Graph({"x": (6, 9)}, {}, (node,), ("y",)), node, {"x": Moments.independent()}, {})
    back = RULES["cumsum"].backward(step, Moments.independent(0.0, 2.0, (6, 9)))["x"]
    assert back.second == pytest.approx(2.0 * 5)  # of 1 to 9 terms, 5 on average


def test_what_is_too_long_is_refused():
    with pytest.raises(NoRuleError, match="5000"):
        cumulated(Moments.independent(0.0, 1.0, (2, 5000)), 1)


@pytest.mark.parametrize(("op", "compare"), [("gt", np.greater), ("le", np.less_equal)])
def test_masks_are_probabilities(op, compare):
    x = of_parts()
    threshold = Moments.constant(0.7)
    node = Node("m", op, {"input": Ref("x"), "other": Ref("t")}, SHAPE, "bool")
    step = Step(
        Graph({"x": SHAPE, "t": ()}, {}, (node,), ("m",)), node, {"x": x, "t": threshold}, {}
    )
    found = RULES[op].forward(step)
    mean, pairs = real(x, lambda values: compare(values, 0.7), distances=0)
    assert found.mean == pytest.approx(mean, abs=0.02)
    assert found.second == pytest.approx(found.mean)
    np.testing.assert_allclose(found.pairs, pairs, atol=0.02)
    assert RULES[op].backward(step, found) == {}
