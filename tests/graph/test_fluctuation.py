"""Intervals over draws of the weights: closed form, and real networks drawn many times."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.fluctuation import Fluctuation
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.theory.gain import gain

from ..tracing import traced

WIDTH = 128


def stack(activation, depth, width=WIDTH):
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width, bias=False), activation())]
    return nn.Sequential(*layers)


def derived(model, batch, variance):
    """The derivation for weights of a given variance, and the graph's names in order."""
    trace, parameters = traced(model, torch.zeros(batch, WIDTH))
    weights = {
        name: Moments.independent(0.0, variance, tuple(parameter.shape))
        for name, parameter in parameters.tensors.items()
    }
    return propagate(trace.graph, weights)


def shares_inside(model, derivation, batch, variance, draws):
    """How many draws have each value's second moment, and its gradient's, inside the interval."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, WIDTH, generator=generator)
    names = [node.name for node in derivation.graph.nodes]
    forward, backward = np.zeros(len(names)), np.zeros(len(names))
    for _ in range(draws):
        values, value = [], x.clone().requires_grad_()
        for layer in model:
            if isinstance(layer, nn.Linear):
                weight = torch.randn(WIDTH, WIDTH, generator=generator) * variance**0.5
                value = value @ weight.T
            else:
                value = layer(value)
            value.retain_grad()
            values.append(value)
        value.backward(torch.randn(value.shape, generator=generator))
        for place, (name, each) in enumerate(zip(names, values, strict=True)):
            low, high = derivation.interval_forward[name]
            forward[place] += low <= each.detach().square().mean().item() <= high
            low, high = derivation.interval_backward[name]
            backward[place] += low <= each.grad.square().mean().item() <= high
    return forward / draws, backward / draws


def test_a_linear_stack_walks_as_its_chi_squares_do():
    """One example: each layer multiplies by an independent mean of n squares, of variance 2/n."""
    derivation = derived(stack(nn.Identity, 10), 1, 1 / WIDTH)
    last = derivation.graph.outputs[0]
    low, high = derivation.interval_forward[last]
    assert math.log(high / low) / 2 / 1.6449 == pytest.approx((10 * 2 / WIDTH) ** 0.5, rel=0.02)
    assert derivation.forward[last].second == pytest.approx(1.0)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU], ids=["relu", "tanh", "silu"])
def test_nine_draws_in_ten_are_inside(activation):
    variance = 1 / (WIDTH * gain(activation.__name__.lower()).forward)
    model = stack(activation, 6)
    derivation = derived(model, 32, variance)
    forward, backward = shares_inside(model, derivation, 32, variance, 150)
    assert 0.82 < forward.mean() < 0.97
    assert 0.82 < backward.mean() < 0.97


def test_thirty_silu_layers_are_unstable_and_thirty_relu_layers_are_not():
    """At the gain that keeps the mean field level: SiLU's q-slope is above 1, ReLU's is 1."""
    middles = {}
    for activation in (nn.SiLU, nn.ReLU):
        variance = 1 / (WIDTH * gain(activation.__name__.lower()).forward)
        derivation = derived(stack(activation, 30), 64, variance)
        low, high = derivation.interval_forward[derivation.graph.outputs[0]]
        middles[activation] = (low * high) ** 0.5
        assert high / low > 10
    assert middles[nn.SiLU] > 1e3
    assert 1 / 3 < middles[nn.ReLU] < 3


def test_what_is_not_random_does_not_fluctuate():
    derivation = derived(nn.Sequential(nn.Tanh(), nn.Linear(WIDTH, WIDTH, bias=False)), 8, 0.01)
    first = derivation.graph.nodes[0].name
    second = derivation.forward[first].second
    low, high = derivation.interval_forward[first]
    assert low <= second <= high
    assert high / low < 1.1


def test_normalisation_ends_a_walk():
    layers = [m for _ in range(8) for m in (nn.Linear(WIDTH, WIDTH, bias=False), nn.ReLU())]
    model = nn.Sequential(*layers, nn.LayerNorm(WIDTH, elementwise_affine=False))
    derivation = derived(model, 4, 2 / WIDTH)
    norm, before = derivation.graph.nodes[-1].name, derivation.graph.nodes[-2].name
    spans = [high / low for low, high in map(derivation.interval_forward.get, (before, norm))]
    assert spans[0] > 1.5
    assert spans[1] < 1.02  # what the calculus itself may be wrong by


def test_an_interval_without_an_end_is_one_still():
    low, high = Fluctuation(kernel=1e6).interval(Moments.independent())
    assert 0 <= low < 1e-100
    assert high > 1e100
