"""What every rule keeps, whatever it is given."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Step
from evenflow.theory.activations import find

from .examples import EXAMPLES, Example

FINITE = st.floats(-30, 30, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-3)
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted)


@st.composite
def moments(draw):
    """m² ≤ s_B ≤ s_T ≤ q, any of them equal or not."""
    mean, private = draw(FINITE), draw(st.floats(0, 900).filter(lambda v: v == 0 or v > 1e-3))
    examples, positions, _ = draw(SHARES)
    square = mean**2
    return Moments(
        mean, square + private, square + examples * private, square + positions * private
    )


def assert_ordered(m):
    slack = 1e-9 * m.second + 1e-12
    ladder = (m.mean**2, m.shared_examples, m.shared_positions, m.second)
    assert all(map(math.isfinite, ladder)), m
    assert all(low <= high + slack for low, high in pairwise(ladder)), m


def known(example, data):
    found = {name: data.draw(moments(), label=name) for name in example.tensors}
    if "running_var" in found:
        found |= {"running_var": Moments.constant(2.0), "running_mean": Moments.constant(0.5)}
    return found


def divides_by_zero(step):
    return step.node.op == "_weight_norm" and step.of("v").second == 0


def test_there_is_an_example_of_every_rule():
    assert EXAMPLES.keys() == RULES.keys()


@pytest.mark.parametrize("op", sorted(RULES))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_moments_stay_in_order(op, data):
    example = EXAMPLES[op]
    step = example.step(known(example, data))
    if divides_by_zero(step):
        with pytest.raises(NoRuleError, match="zero"):
            RULES[op].forward(step)
    else:
        assert_ordered(RULES[op].forward(step))


@pytest.mark.parametrize("op", sorted(RULES))
@settings(max_examples=10, deadline=None)
@given(data=st.data(), cotangent=st.floats(1e-6, 1e6))
def test_gradients_are_seconds_of_the_tensors_and_grow_with_the_cotangent(op, data, cotangent):
    example = EXAMPLES[op]
    step = example.step(known(example, data))
    if divides_by_zero(step):
        return
    gathered = RULES[op].backward(step, cotangent)
    doubled = RULES[op].backward(step, 2 * cotangent)
    assert gathered.keys() <= example.tensors.keys()
    for name, second in gathered.items():
        assert math.isfinite(second)
        assert second >= 0
        assert doubled[name] == pytest.approx(2 * second)


NO_GRADIENT = {"detach", "zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones"} | {
    "full",
    "full_like",
    "new_full",
}


@pytest.mark.parametrize("op", sorted(set(RULES) - NO_GRADIENT))
def test_a_gradient_reaches_every_tensor(op):
    example = EXAMPLES[op]
    step = example.step(dict.fromkeys(example.tensors, Moments(0.2, 1.0, 0.3, 0.5)))
    expected = example.tensors.keys() - {"running_mean", "running_var"}
    assert RULES[op].backward(step, 1.0).keys() == expected


@pytest.mark.parametrize("op", sorted(NO_GRADIENT))
def test_no_gradient_goes_back_through_constants(op):
    example = EXAMPLES[op]
    assert RULES[op].backward(example.step(dict.fromkeys(example.tensors, _X)), 1.0) == {}


_X = Moments(0.2, 1.0, 0.3, 0.5)
_REF = Ref("x")


@pytest.mark.parametrize("op", ["add", "sub", "rsub", "matmul", "bilinear"])
def test_a_tensor_that_stands_in_twice_gathers_both_gradients(op):
    """x ∘ x: the two shares add up, or the rule knows that both are the same."""
    example = {
        "add": Example("add", {"x": (4, 4)}, (4, 4), {"alpha": 2}),
        "sub": Example("sub", {"x": (4, 4)}, (4, 4), {"alpha": 3}),
        "rsub": Example("rsub", {"x": (4, 4)}, (4, 4), {"alpha": 3}),
        "matmul": Example("matmul", {"x": (4, 4)}, (4, 4)),
        "bilinear": Example("bilinear", {"x": (2, 4), "weight": (3, 4, 4)}, (2, 3)),
    }[op]
    step = example.step({"x": _X, "weight": Moments.parameter(0.0, 0.1)})
    arguments = {"input1": "x", "input2": "x"} if op == "bilinear" else {"input": "x", "other": "x"}
    arguments = dict.fromkeys(arguments, step.node.arguments["x"])
    node = replace(step.node, arguments=step.node.arguments | arguments)
    step = Step(step.graph, node, step.known)
    expected = {"add": 9.0, "sub": 4.0, "rsub": 4.0, "matmul": 2 * 4 * 1.0}
    if op == "bilinear":
        expected["bilinear"] = 2 * 3 * 4 * 0.1
    assert RULES[op].backward(step, 1.0)["x"] == pytest.approx(expected[op])
    if op in ("add", "sub", "rsub"):  # not independent: x + 2x = 3x
        assert RULES[op].forward(step).second == pytest.approx(expected[op])


def refused(example, **known):
    step = example.step(known or dict.fromkeys(example.tensors, _X))
    with pytest.raises(NoRuleError) as error:
        RULES[example.op].forward(step)
    return str(error.value)


def test_uses_that_a_rule_does_not_cover_are_refused():
    x = {"input": (4, 4)}
    assert "'div'" in refused(Example("div", {**x, "other": (4, 4)}, (4, 4)))
    assert "'div'" in refused(Example("div", x, (4, 4), {"other": 0}))
    rounded = {"other": 2, "rounding_mode": "floor"}
    assert "'div'" in refused(Example("div", x, (4, 4), rounded))
    assert "zero" in refused(
        Example("layer_norm", x, (4, 4), {"normalized_shape": (4,), "eps": 0.0}),
        input=Moments.constant(2.0),
    )
    assert "zero" in refused(
        Example("_weight_norm", {"v": (4, 4), "g": (4, 1)}, (4, 4)),
        v=Moments.constant(0.0),
        g=Moments.constant(1.0),
    )
    assert "fused" in refused(Example("activation", x, (4, 4)))


def test_what_has_no_values_is_refused():
    mask = Example("mul", {"input": (4,), "other": (4,)}, (4,))
    assert "'other', whose values are unknown" in refused(mask, input=_X)
    assert "no number or tensor 'other'" in refused(Example("mul", {"input": (4,)}, (4,)))


def test_dropping_everything_leaves_nothing():
    example = Example("dropout", {"input": (4,)}, (4,), {"p": 1.0, "train": True})
    step = example.step({"input": _X})
    assert RULES["dropout"].forward(step) == Moments.constant(0.0)
    assert RULES["dropout"].backward(step, 1.0) == {"input": 0.0}


def test_a_maximum_takes_an_increasing_activation_inside_but_no_other():
    def pooled(name):
        activation = Node("a", "activation", {"input": _REF}, (2, 4, 8), activation=find(name))
        example = Example("max_pool1d", {"x": (2, 4, 8)}, (2, 4, 4), {"kernel_size": 2})
        step = example.step({})
        pool = replace(step.node, arguments={"input": Ref("a"), "kernel_size": 2})
        graph = replace(step.graph, nodes=(activation, pool), parameters={})
        z = Moments.independent()
        a = RULES["activation"].forward(Step(graph, activation, {"x": z}))
        return RULES["max_pool1d"].forward(Step(graph, pool, {"x": z, "a": a}))

    # max of two normals: E = 1/√π, E² = 1; ReLU of it: E[relu(max)²] = ½ + 1/π·…, by quadrature
    assert pooled("relu").mean == pytest.approx(_expected_maximum(lambda m: max(m, 0.0)), rel=1e-3)
    sine = pooled("sin")  # goes up and down: its outputs are taken as Gaussian
    assert sine.mean == pytest.approx(math.sqrt(_sine_variance() / math.pi), rel=1e-3)


def _expected_maximum(function):
    """E f(max of two standard normals), density 2 φ(t) Φ(t)."""
    step = 1e-3
    grid = (step * k for k in range(-9000, 9000))
    density = ((t, 2 * _phi(t) * 0.5 * math.erfc(-t / math.sqrt(2))) for t in grid)
    return sum(function(t) * weight for t, weight in density) * step


def _phi(t):
    return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)


def _sine_variance():
    return (1 - math.exp(-2)) / 2
