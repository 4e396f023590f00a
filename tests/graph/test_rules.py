"""What every rule keeps, what rules refuse, and that every rule is reached by a test of pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Step
from evenflow.theory.activations import find


def step(op, tensors, shape, given=None, *, operands=None, **plain):
    """One operation on tensors of these shapes, with Moments (independent ones if not given)."""
    plain |= {} if operands is None else {"tensors": operands}
    node = Node("result", op, {name: Ref(name) for name in tensors} | plain, shape)
    known = {name: Moments.independent(0.2, 1.0, size) for name, size in tensors.items()}
    graph = Graph(inputs=tensors, parameters={}, nodes=(node,), outputs=("result",))
    return Step(graph, node, known | (given or {}), {})


def refused(*args, **kwargs):
    with pytest.raises(NoRuleError) as error:
        RULES[args[0]].forward(step(*args, **kwargs))
    return str(error.value)


X = {"input": (4, 4)}


def test_uses_that_a_rule_does_not_cover_are_refused():
    assert "zero or negative" in refused("div", {**X, "other": (4, 4)}, (4, 4))
    assert "'div'" in refused("div", X, (4, 4), other=0)
    assert "'div'" in refused("div", X, (4, 4), other=2, rounding_mode="floor")
    constant = {"input": Moments.constant(2.0, (4, 4))}
    sizes = {"normalized_shape": (4,), "eps": 0.0}
    assert "zero" in refused("layer_norm", X, (4, 4), constant, **sizes)
    lengths = {"v": Moments.constant(0.0, (4, 4)), "g": Moments.constant(1.0, (4, 1))}
    assert "zero" in refused("_weight_norm", {"v": (4, 4), "g": (4, 1)}, (4, 4), lengths)
    assert "fused" in refused("activation", X, (4, 4))
    assert "diagonal" in refused("einsum", {}, (4,), equation="ii->i", operands=(Ref("x"),))


def test_what_has_no_values_is_refused():
    both = step("mul", {"input": (4,), "other": (4,)}, (4,))
    unknown = replace(both, known={"input": both.of("input")})
    with pytest.raises(NoRuleError, match="'other', whose values are unknown"):
        RULES["mul"].forward(unknown)
    assert "no number or tensor 'other'" in refused("mul", {"input": (4,)}, (4,))


@pytest.mark.parametrize(
    "op", ["detach", "zeros", "zeros_like", "ones", "new_ones", "full", "full_like"]
)
def test_no_gradient_goes_back_through_constants(op):
    use = step(op, X, (4, 4), fill_value=0.3)
    assert RULES[op].backward(use, Moments.independent(shape=(4, 4))) == {}


def test_dropping_everything_leaves_nothing():
    use = step("dropout", X, (4, 4), p=1.0, train=True)
    assert RULES["dropout"].forward(use).second == 0.0
    (back,) = RULES["dropout"].backward(use, Moments.independent(shape=(4, 4))).values()
    assert back.second == 0.0


@pytest.mark.parametrize(("op", "factor"), [("add", 3.0), ("sub", -1.0), ("rsub", -1.0)])
def test_a_tensor_that_stands_in_twice_is_not_independent_of_itself(op, factor):
    """x + 2x = 3x, x − 2x = −x, x − 2x again, and so do the gradients add up."""
    node = Node("result", op, {"input": Ref("x"), "other": Ref("x"), "alpha": 2}, (4, 4))
    graph = Graph({"x": (4, 4)}, {}, (node,), ("result",))
    x = Moments.independent(0.2, 1.0, (4, 4))
    use = Step(graph, node, {"x": x}, {})
    found = RULES[op].forward(use)
    assert found.mean == pytest.approx(factor * 0.2)
    assert found.pairs == pytest.approx(factor**2 * x.pairs)
    assert RULES[op].backward(use, x)["x"].pairs == pytest.approx(factor**2 * x.pairs)


def test_a_tensor_multiplied_with_itself_gathers_both_gradients():
    node = Node("result", "matmul", {"input": Ref("x"), "other": Ref("x")}, (4, 4))
    graph = Graph({"x": (4, 4)}, {}, (node,), ("result",))
    use = Step(graph, node, {"x": Moments.independent(0.0, 1.0, (4, 4))}, {})
    back = RULES["matmul"].backward(use, Moments.independent(shape=(4, 4)))
    assert back["x"].second == pytest.approx(2 * 4)


def test_a_maximum_takes_an_increasing_activation_inside_but_no_other():
    def pooled(name):
        activation = Node("a", "activation", {"input": Ref("x")}, (2, 4, 8), activation=find(name))
        arguments = {"input": Ref("a"), "kernel_size": 2, "stride": 2}
        pool = Node("result", "max_pool1d", arguments, (2, 4, 4))
        graph = Graph({"x": (2, 4, 8)}, {}, (activation, pool), ("result",))
        z = Moments.independent(shape=(2, 4, 8))
        a = RULES["activation"].forward(Step(graph, activation, {"x": z}, {}))
        return RULES["max_pool1d"].forward(Step(graph, pool, {"x": z, "a": a}, {}))

    # The larger of two normals has density 2 φ(t) Φ(t).
    t = np.arange(-9, 9, 1e-3)
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    density *= np.array([math.erfc(-x / math.sqrt(2)) for x in t])
    expected = np.sum(np.maximum(t, 0) * density) * 1e-3
    assert pooled("relu").mean == pytest.approx(expected, rel=1e-3)
    variance = (1 - math.exp(-2)) / 2  # of a sine, which goes up and down: taken as Gaussian
    assert pooled("sin").mean == pytest.approx(math.sqrt(variance / math.pi), rel=1e-3)
