"""Choices by a mask, and masks that are drawn, against draws."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.algebra.pairs import lengthened
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace
from evenflow.torch.weights import input_moments

ROLES = ("examples", "positions", "units")
MASK = torch.rand(12, 1, generator=torch.Generator().manual_seed(0)) < 0.3


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.function = function

    def forward(self, x, y):
        return self.function(x, y)


def drop_path(x, y):
    kept = (0.8 + torch.rand(x.shape[0], 1, 1)).floor()
    return x / 0.8 * kept + y


def bernoulli(x, y):
    return x * torch.empty(x.shape[0], 1, 1).bernoulli_(0.7) + y


CASES = {
    "where": lambda x, y: torch.where(MASK, x, y),
    "where, a number": lambda x, y: torch.where(MASK, x, 0.5) + y,
    "masked fill": lambda x, y: x.masked_fill(MASK, 2.0) * y,
    "whole examples dropped": drop_path,
    "examples kept with a probability": bernoulli,
}


@pytest.mark.parametrize("name", CASES)
def test_choices_agree_with_draws(name):
    generator = torch.Generator().manual_seed(1)
    model = Function(CASES[name])
    graph = None
    found, said = [], []
    for _ in range(40):
        x, y = (torch.randn(6, 12, 40, generator=generator) + m for m in (0.4, -0.3))
        call = Call((x.requires_grad_(), y.requires_grad_()), {})
        graph = graph or trace(call, ModelParameters(model)).graph
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            out = model(*call.args)
        out.backward(torch.randn(out.shape, generator=generator))
        real = measured(out.detach().numpy(), ROLES, 7)
        gradients = [float(v.grad.square().mean()) for v in call.args]
        found.append([real.mean, *real.pairs.ravel(), *gradients])
        derived = propagate(graph, {}, input_moments(graph, call))
        assert not derived.obstacles_backward
        told = derived.forward[graph.outputs[0]]
        pairs = told.pairs
        for dim, length in enumerate(real.pairs.shape):
            pairs = lengthened(pairs, dim, length)
        pairs = np.broadcast_to(pairs, real.pairs.shape)
        back = [derived.backward[name].second for name in graph.inputs]
        said.append([told.mean, *pairs.ravel(), *back])
    np.testing.assert_allclose(np.mean(said, axis=0), np.mean(found, axis=0), atol=0.12, rtol=0.05)


def test_numbers_that_hide_mark_what_is_hidden():
    graph = trace(
        Call((torch.randn(2, 12, 4), torch.randn(2, 12, 4)), {}),
        ModelParameters(Function(lambda x, y: x.masked_fill(MASK, float("-inf")) + y)),
    ).graph
    found = propagate(graph, {}).forward[graph.outputs[0]]
    np.testing.assert_array_equal(np.broadcast_to(found.hidden, (12, 1)), MASK.numpy())
    assert found.second == pytest.approx(2)
