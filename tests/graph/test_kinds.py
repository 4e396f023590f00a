"""Kinds of examples: as measured, through norms of single examples and of batches, in networks."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.kinds import mean_of
from evenflow.graph.kinds.kinds import told
from evenflow.graph.kinds.measured import kinds_of
from evenflow.graph.moments import roles_of
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced

DISTANCES = 3


def pictures(count, size, channels=3, seed=0):
    """Each of its own brightness and contrast."""
    rng = np.random.default_rng(seed)
    contrast, brightness = (
        rng.uniform(0.3, 1.7, (count, 1, 1, 1)),
        rng.normal(size=(count, channels, 1, 1)),
    )
    return contrast * (0.5 * rng.normal(size=(count, channels, size, size)) + brightness)


def kinds(x):
    return kinds_of({"x": x}, {"x": DISTANCES if x.ndim == 4 else 0})["x"]


@pytest.mark.parametrize("count", [5, 8, 16, 24])
def test_together_they_are_all_examples(count):
    x = pictures(count, 6)
    whole = measured(x, roles_of(x.shape), DISTANCES)
    assert mean_of(kinds(x), whole).pairs == pytest.approx(whole.pairs, abs=1e-12)


def test_each_knows_what_it_has_in_common_with_each():
    x = pictures(4, 6)
    alone, others = told(kinds(x))
    order = np.argsort(alone[:, 0, 0, 0])
    by_size = np.argsort(np.square(x).mean(axis=(1, 2, 3)))
    for k, own in zip(order, by_size, strict=True):
        assert alone[k, 0, 0, 0] == pytest.approx(np.mean(x[own] ** 2))
        for j, other in zip(order, by_size, strict=True):
            if j != k:
                assert others[k, j, 0, 0, 0] == pytest.approx(np.mean(x[own] * x[other]))


def test_examples_that_are_alike_are_of_one_kind():
    rng = np.random.default_rng(0)
    assert kinds_of({"x": rng.normal(size=(32, 256))}, {"x": 0}) == {}
    assert kinds_of({"x": rng.normal(size=(1, 4))}, {"x": 0}) == {}
    assert kinds_of({"x": np.zeros((4, 4))}, {"x": 0}) == {}


def derived(model, x):
    """The derivation, from the inputs and the weights as they are."""
    trace, parameters = traced(model, x)
    weights = parameter_moments(trace.graph, parameters)
    inputs = input_moments(trace.graph, Call((x,), {}))
    return trace, parameters, propagate(trace.graph, weights, inputs)


def test_a_norm_divides_each_example_by_its_own_size():
    """E[1/q] over the examples is what is left of the gradient; closed form."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(6, 512)) * rng.uniform(0.1, 3.0, (6, 1))).float()
    trace, _, found = derived(nn.RMSNorm(512), x)
    expected = float((1 / x.square().mean(dim=1)).mean()) * (1 - 1 / 512)
    (name,) = trace.graph.inputs
    assert found.backward[name].second == pytest.approx(expected, rel=0.01)


class Pooled(nn.Module):
    """Means over pixels differ from image to image far more than images do."""

    def __init__(self, *, batch):
        super().__init__()
        self.read = nn.Conv2d(32, 128, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(128) if batch else nn.GroupNorm(1, 128)
        self.head = nn.LayerNorm(128)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.read(x))).mean((2, 3)))


@pytest.mark.parametrize("batch", [False, True])
def test_pooled_means_of_real_images(batch):
    """Second moments of every tensor and its gradient, over draws, within 5 % of their roots; each
    channel sums many weights."""
    x = torch.from_numpy(pictures(8, 10, channels=32)).float()
    model = Pooled(batch=batch)
    trace, parameters, found = derived(model, x)
    seconds, gradients, last = {}, {}, []

    def look(name, value):
        if value.is_floating_point():
            seconds.setdefault(name, []).append(float(value.detach().square().mean()))
            into = gradients.setdefault(name, [])
            value.register_hook(lambda g: into.append(float(g.square().mean())))
            last.append(value)
        return value

    torch.manual_seed(0)
    for _ in range(24):
        model.read.reset_parameters()
        run(trace, parameters, Call((x,), {}), look)
        torch.autograd.backward(last[-1], torch.randn_like(last[-1]))
    for name in seconds:
        for drawn, said in ((seconds, found.forward), (gradients, found.backward)):
            assert abs(np.log(said[name].second / np.mean(drawn[name])) / 2) < 0.05, name
