"""Routing to experts: against torch, over draws of weights and inputs."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.rules import RULES, Step

from ..tracing import traced

ROWS, EXPERTS, INSIDE, OUTSIDE = 240, 6, 40, 50


def square(x):
    return x.detach().square().mean().item()


def test_each_row_meets_the_matrix_of_its_expert():
    """Rows have something in common; experts' matrices have not."""
    x = Moments.independent(0.0, 0.5, (ROWS, INSIDE)).plus(Moments.independent(0.0, 0.5, (INSIDE,)))
    weight = Moments.independent(0.0, 0.1, (EXPERTS, INSIDE, OUTSIDE))
    arguments = {"input": Ref("x"), "mat2": Ref("w"), "offs": Ref("o")}
    node = Node("y", "_grouped_mm", arguments, (ROWS, OUTSIDE))
    graph = Graph({"x": x.shape, "w": weight.shape, "o": (EXPERTS,)}, {}, (node,), ("y",))
    step = Step(graph, node, {"x": x, "w": weight}, {})
    found = RULES["_grouped_mm"].forward(step)
    cotangent = Moments.independent(0.0, 1.0, (ROWS, OUTSIDE))
    back = RULES["_grouped_mm"].backward(step, cotangent)

    generator = torch.Generator().manual_seed(0)
    seconds = []
    for _ in range(40):
        own = torch.randn(ROWS, INSIDE, generator=generator)
        rows = ((own + torch.randn(INSIDE, generator=generator)) / 2**0.5).requires_grad_()
        w = torch.randn(EXPERTS, INSIDE, OUTSIDE, generator=generator) * 0.1**0.5
        w.requires_grad_()
        chosen = torch.randint(EXPERTS, (ROWS,), generator=generator).sort().values
        y = torch.einsum("rk,rkn->rn", rows, w[chosen])
        g = torch.autograd.grad(y, (rows, w), torch.randn(y.shape, generator=generator))
        shared = y.sum(0).square().mean().item() / ROWS**2
        seconds.append([square(y), shared, *map(square, g)])
    real = np.mean(seconds, axis=0)
    mean_pair = (found.second + (ROWS - 1) * found.pairs[-1, 0]) / ROWS
    ours = [found.second, mean_pair, back["x"].second, back["w"].second]
    np.testing.assert_allclose(ours, real, rtol=0.06)


class Weighted(nn.Module):
    """Weights that sum to one, of what a linear layer says."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(64, width)

    def forward(self, x):
        chances = torch.softmax(self.linear(x), -1)
        return chances / chances.sum(-1, keepdim=True)


@pytest.mark.parametrize("width", [2, 5, 40])
def test_what_is_divided_by_its_own_sum_lets_less_through(width):
    torch.manual_seed(0)
    model, x = Weighted(width), torch.randn(400, 64)
    trace, _ = traced(model, x)
    known = {
        "linear.weight": Moments.independent(0.0, 1 / 64, (width, 64)),
        "linear.bias": Moments.constant(0.0, (width,)),
    }
    said = propagate(trace.graph, known)
    (quotient,) = [node for node in trace.graph.nodes if node.op == "div"]
    chances = torch.softmax(torch.randn(4000, width), -1).requires_grad_()
    result = chances / chances.sum(-1, keepdim=True)
    (gradient,) = torch.autograd.grad(result, chances, torch.randn(result.shape))
    name = quotient.arguments["input"].name
    assert said.backward[name].second == pytest.approx(square(gradient), rel=0.1)
