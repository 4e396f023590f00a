"""Spectral norm: the edge of a random matrix's spectrum, and a real network of such weights."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate

from ..tracing import graph_of


@pytest.mark.parametrize("shape", [(128, 128), (64, 576), (300, 40), (1, 128)])
def test_the_largest_singular_value_of_independent_elements(shape):
    generator = np.random.default_rng(0)
    largest = [np.linalg.norm(generator.standard_normal(shape), 2) for _ in range(20)]
    model = spectral_norm(nn.Linear(shape[1], shape[0]))
    graph = graph_of(model, torch.zeros(4, shape[1]))
    (node,) = (node for node in graph.nodes if node.op == "spectral_norm")
    assert not {"mv", "vdot", "div"} & {n.op for n in graph.nodes}
    bias = Moments.constant(0.0, shape[:1])
    derived = propagate(graph, {"weight": Moments.independent(0.0, 1.0, shape), "bias": bias})
    said = 1 / math.sqrt(derived.forward[node.name].second)
    assert said == pytest.approx(np.mean(largest), rel=0.01)


def test_a_weight_of_one_value_is_divided_by_its_length():
    model = spectral_norm(nn.Conv2d(8, 16, 3))
    graph = graph_of(model, torch.zeros(2, 8, 6, 6))
    known = {"weight": Moments.constant(0.5, (16, 8, 3, 3))}
    derived = propagate(graph, known)
    (node,) = (node for node in graph.nodes if node.op == "spectral_norm")
    assert derived.forward[node.name].second == pytest.approx(1 / (16 * 72))


def test_gradients_pass_by_the_same_divisor():
    torch.manual_seed(0)
    model = spectral_norm(nn.Linear(96, 96), n_power_iterations=200).eval()
    x = torch.randn(512, 96)
    graph = graph_of(model, x)
    weight = model.parametrizations.weight.original
    known = {"weight": Moments.independent(0.0, 1 / 288, (96, 96))}
    derived = propagate(graph, known | {"bias": Moments.constant(0.0, (96,))})
    model(x).backward(torch.randn(512, 96))
    said = derived.backward["weight"].second
    assert said == pytest.approx(float(weight.grad.square().mean()), rel=0.1)
