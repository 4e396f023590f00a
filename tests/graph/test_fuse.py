"""Chains of pointwise operations become one activation, and it is the right one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.graph.graph import Ref
from evenflow.theory.activations import find

from ..tracing import graph_of

Z = torch.tensor([-4.0, -1.3, -0.4, 0.2, 0.9, 3.1], dtype=torch.float64)


class Body(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x))


def fused(function):
    """Every operation behind the linear layer."""
    graph = graph_of(Body(function), torch.zeros(2, 8))
    assert graph.nodes[0].op == "linear"
    return graph.nodes[1:]


def activation(function):
    """The one activation that ``function`` is."""
    (node,) = fused(function)
    assert node.op == "activation"
    assert node.arguments == {"input": Ref("linear")}
    return node.activation


CATALOGUE = {
    "relu": F.relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
    "sin": torch.sin,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "squared_relu": lambda x: F.relu(x) ** 2,
    "gaussian": lambda x: torch.exp(-(x**2)),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}
BY_HAND = {
    "softsign": lambda x: x / (1 + x.abs()),
    "gelu": lambda x: x * 0.5 * (1.0 + torch.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: (
        0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3))))
    ),
    "silu": lambda x: x * torch.sigmoid(x),
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "logistic": lambda x: 1 / (1 + torch.exp(-x)),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_torchs_own_activations_are_the_catalogues(name):
    assert activation(CATALOGUE[name]) is find(name)


@pytest.mark.parametrize("name", BY_HAND)
def test_activations_written_by_hand_are_recognised(name):
    assert activation(BY_HAND[name]) is find(name)


OPTIONS = {
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.3), {"negative_slope": 0.3}),
    "elu": (lambda x: F.elu(x, 0.7), {"alpha": 0.7}),
    "celu": (lambda x: F.celu(x, 0.7), {"alpha": 0.7}),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 2.0), {"min_val": -0.5, "max_val": 2.0}),
    "softplus": (lambda x: F.softplus(x, 2.0, 10.0), {"beta": 2.0, "threshold": 10.0}),
    "softshrink": (lambda x: F.softshrink(x, 0.2), {"lambd": 0.2}),
    "hardshrink": (lambda x: F.hardshrink(x, 0.2), {"lambd": 0.2}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_read(name):
    function, options = OPTIONS[name]
    assert activation(function) is find(name, **options)


CHAINS = {
    "abs − ½": lambda x: x.abs() - 0.5,
    "siren": lambda x: torch.sin(30 * x),
    "scaled tanh": lambda x: 1.7159 * torch.tanh(2 / 3 * x),
    "residual": lambda x: x + F.relu(x),
    "gated by itself": lambda x: torch.tanh(x) * torch.sigmoid(x),
    "two in a row": lambda x: F.relu(torch.tanh(x)),
    "cube": lambda x: x * x * x,
    "powers": lambda x: x**2 - 2 * x**3,
    "rsub": lambda x: 1 - x.cos(),
    "alpha": lambda x: torch.add(x, torch.sin(x), alpha=3) - torch.sub(x.square(), x, alpha=2),
    "divided": lambda x: x.exp() / (2 + x.exp()) + 1 / (1 + x.square()),
    "sqrt": lambda x: (x.square() + 1).sqrt() + (x.square() + 1).rsqrt(),
    "logs": lambda x: torch.log1p(x.square()) + torch.log(x.square() + 2) + torch.expm1(-x.abs()),
    "arcs": lambda x: torch.atan(x) + torch.sinh(x / 4) - torch.cosh(x / 4) + torch.erf(x),
    "reciprocal": lambda x: (x.square() + 1).reciprocal() - (-x),
}


@pytest.mark.parametrize("name", CHAINS)
def test_values_and_slopes_of_a_chain_are_those_of_torch(name):
    function = CHAINS[name]
    found = activation(function)
    z = Z.clone().requires_grad_()
    y = function(z)
    (slope,) = torch.autograd.grad(y.sum(), z)
    assert found.function(Z.numpy()) == pytest.approx(y.detach().numpy(), rel=1e-12)
    assert found.derivative(Z.numpy()) == pytest.approx(slope.numpy(), rel=1e-12)


def test_equal_chains_are_one_activation():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return torch.sin(30 * self.second(torch.sin(30 * self.first(x))))

    graph = graph_of(Twice(), torch.zeros(2, 8))
    first, second = (node.activation for node in graph.nodes if node.activation)
    assert first is second
    assert first.name == "sin((x · 30.0))"


def ops(function):
    return [node.op for node in fused(function)]


def test_scaling_and_shifting_keep_their_own_rules():
    assert ops(lambda x: -((1 - x * 0.5) / 3 + 2)) == ["mul", "rsub", "div", "add", "neg"]


def test_a_scale_by_a_number_that_the_code_makes_keeps_what_reads_it():
    graph = graph_of(Body(lambda x: x / torch.sqrt(torch.tensor(4.0)) + 0), torch.zeros(2, 8))
    names = {"linear", *graph.parameters, *graph.inputs, *graph.values}
    for node in graph.nodes:
        assert {name for _, name in node.refs()} <= names
        names.add(node.name)


def test_a_product_of_two_tensors_is_no_activation():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return torch.sigmoid(self.gate(x)) * self.value(x)

    graph = graph_of(Gated(), torch.zeros(2, 8))
    assert [node.op for node in graph.nodes] == ["linear", "activation", "linear", "mul"]


def test_a_value_that_others_read_stays():
    graph = graph_of(Body(lambda x: (torch.tanh(x), torch.tanh(x).abs())), torch.zeros(2, 8))
    _, tanh, size = graph.nodes
    assert graph.outputs == (tanh.name, size.name)
    assert tanh.activation is find("tanh")
    assert size.arguments == {"input": Ref("linear")}
    assert size.activation.function(np.array([-1.0])) == pytest.approx(np.tanh(1.0))


def test_integers_are_left_alone():
    graph = graph_of(nn.Embedding(9, 4), torch.zeros(2, 3, dtype=torch.long))
    shifted = graph_of(
        nn.Sequential(Shift(), nn.Embedding(9, 4)), torch.zeros(2, 3, dtype=torch.long)
    )
    assert [n.op for n in graph.nodes] == ["embedding"]
    assert [n.op for n in shifted.nodes] == ["mul", "add", "embedding"]


class Shift(nn.Module):
    def forward(self, tokens):
        return tokens * tokens + 1


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("rsqrt", lambda x: x * torch.rsqrt(x.exp().mean(-1, keepdim=True) + 1e-6)),
        ("sqrt", lambda x: x.abs() + torch.sqrt(x)),
        ("reciprocal", lambda x: x.reciprocal()),
        ("pow", lambda x: (x + 1) ** 0.5),
    ],
)
def test_what_is_no_function_on_the_whole_line_is_kept_as_it_is(op, function):
    assert op in ops(function)


def test_a_broadcast_operand_is_no_part_of_a_chain():
    class Shifted(Body):
        def forward(self, x):
            h = self.linear(x)
            return torch.tanh(h - h.mean(-1, keepdim=True))

    graph = graph_of(Shifted(None), torch.zeros(2, 8))
    assert [node.op for node in graph.nodes] == ["linear", "mean", "sub", "activation"]


BY_CASES = {
    "leaky ReLU by where": lambda z: torch.where(z > 0, z, 0.2 * z),
    "where, with a number": lambda z: torch.where(z < 0.5, torch.sin(z), 1.0),
    "clamp": lambda z: torch.clamp(z, -1.0, 0.5),
    "clamp from below": lambda z: torch.clamp(z, min=-0.3),
    "clamp_max": lambda z: z.clamp_max(0.7),
    "maximum": lambda z: torch.maximum(z, 0.1 * z),
    "minimum": lambda z: torch.minimum(z * z, z.exp()),
}


@pytest.mark.parametrize("name", BY_CASES)
def test_choices_by_the_value_itself_are_activations(name):
    found = activation(BY_CASES[name])
    z = Z.clone().requires_grad_()
    expected = BY_CASES[name](z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    np.testing.assert_allclose(found.function(Z.numpy()), expected.detach(), rtol=1e-6)
    np.testing.assert_allclose(found.derivative(Z.numpy()), slope, rtol=1e-6)


def test_one_minus_a_gate_stays_a_shift_of_the_gate():
    def highway(z):
        gate = torch.sigmoid(z)
        return gate * z.roll(1, -1) + (1 - gate) * z.roll(2, -1)

    (shift,) = (node for node in fused(highway) if node.op == "rsub")
    assert [name for _, name in shift.refs()] == ["sigmoid"]


def test_a_comparison_of_something_else_is_no_part_of_a_chain():
    ops = [node.op for node in fused(lambda z: torch.where(z.roll(1) > 0, z, 2 * z))]
    assert "where" in ops
