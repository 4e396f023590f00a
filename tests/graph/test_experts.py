"""Choosing experts against draws: the largest of each row, rows with one expert's weights."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace
from evenflow.torch.weights import input_moments

ROLES = ("examples", "units")


class Largest(nn.Module):
    def __init__(self, k, largest):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.k, self.largest = k, largest

    def forward(self, x):
        return x.topk(self.k, largest=self.largest).values


@pytest.mark.parametrize(("k", "largest"), [(1, True), (3, True), (2, False), (8, True)])
def test_the_largest_of_each_row(k, largest):
    generator = torch.Generator().manual_seed(0)
    x = 0.7 + torch.randn(4000, 8, generator=generator) + torch.randn(4000, 1, generator=generator)
    call = Call((x.requires_grad_(),), {})
    graph = trace(call, ModelParameters(Largest(k, largest))).graph
    y = Largest(k, largest)(x)
    y.backward(torch.randn(y.shape, generator=generator))
    found = propagate(graph, {}, input_moments(graph, call))
    told, real = found.forward[graph.outputs[0]], measured(y.detach().numpy(), ROLES)
    assert told.mean == pytest.approx(real.mean, abs=0.05)
    assert told.second == pytest.approx(real.second, rel=0.05)
    (given,) = graph.inputs
    back, gradient = found.backward[given], measured(x.grad.numpy(), ROLES)
    scale = gradient.second
    np.testing.assert_allclose(back.pairs / scale, gradient.pairs / scale, atol=0.05)


def test_rows_that_are_alike_choose_alike():
    axes = measured(np.zeros((5, 6)), ROLES).axes
    x = Moments(0.0, np.array([[1.0, 0.0], [1.0, 0.0]]), axes)
    arguments = {"input": Ref("x"), "k": 2, "dim": -1}
    node = Node("values", "topk", arguments, (5, 2), shapes=((5, 2), (5, 2)))
    graph = Graph({"x": (5, 6)}, {}, (node,), ("values",))
    found = propagate(graph, {}, {"x": x}).forward["values"]
    assert found.shared_examples == pytest.approx(found.second)


def test_rows_share_the_weights_of_their_expert():
    generator = np.random.default_rng(0)
    rows, experts, width, out = 60, 4, 32, 24
    shapes = {"x": (rows, width), "w": (experts, width, out)}
    arguments = {"input": Ref("x"), "weight": Ref("w"), "offs": None}
    node = Node("y", "transformers.grouped_mm_fallback", arguments, (rows, out))
    graph = Graph(shapes, {}, (node,), ("y",))
    pairs, gradients = [], []
    x = generator.normal(size=(rows, width)) + 0.5 * generator.normal(size=width)
    for _ in range(60):
        w = 0.2 * generator.normal(size=shapes["w"])
        cotangent = generator.normal(size=(rows, out))
        expert = generator.integers(0, experts, rows)
        pairs.append(measured(np.einsum("rk,rkn->rn", x, w[expert]), ROLES).pairs)
        to_w = np.zeros_like(w)
        np.add.at(to_w, expert, x[:, :, None] * cotangent[:, None, :])
        to_x = np.einsum("rn,rkn->rk", cotangent, w[expert])
        gradients.append([np.mean(to_x**2), np.mean(to_w**2)])
    known = {"x": measured(x, ROLES), "w": Moments.independent(0.0, 0.04, shapes["w"])}
    found = propagate(graph, {}, known)
    real = np.mean(pairs, axis=0)
    np.testing.assert_allclose(found.forward["y"].pairs / real[0, 0], real / real[0, 0], atol=0.05)
    said = [found.backward[name].second for name in ("x", "w")]
    np.testing.assert_allclose(said, np.mean(gradients, axis=0), rtol=0.1)
