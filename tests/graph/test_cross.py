"""One weight used several times: cross terms in closed form, and in real networks both ways."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.cross.forwards import Cross, product
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.rules import Step

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors

WIDTH = 128


class Again(nn.Module):
    """The same block on a stream, again and again."""

    def __init__(self, activation, times):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(WIDTH, WIDTH), activation, nn.Linear(WIDTH, WIDTH))
        self.times = times

    def forward(self, x):
        for _ in range(self.times):
            x = x + 0.7 * self.block(x)
        return x


class Compared(nn.Module):
    """The difference of two inputs' images."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.map(x) - self.map(0.5 * x)


class TwoWays(nn.Module):
    """An encoder whose transpose decodes."""

    def __init__(self, *, written):
        super().__init__()
        self.encoder = nn.Linear(WIDTH, 2 * WIDTH)
        self.written = written

    def forward(self, x):
        hidden = torch.tanh(self.encoder(x))
        if self.written:
            return hidden @ self.encoder.weight
        return nn.functional.linear(hidden, self.encoder.weight.t())


NETWORKS = {
    "tanh again": Again(nn.Tanh(), 4),
    "relu again": Again(nn.ReLU(), 3),
    "linear again": Again(nn.Identity(), 4),
    "two images": Compared(),
    "decoder by matmul": TwoWays(written=True),
    "decoder by linear": TwoWays(written=False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_use_a_weight_several_times(name):
    found = network_errors(NETWORKS[name], white((32, WIDTH), 1.0), draws=24)
    for way, largest in (("forward", 0.05), ("backward", 0.06)):
        errors = {n: e for n, e in found[way].items() if not n.endswith(("weight", "bias"))}
        assert max(errors.values()) < largest, errors


def step_of(model):
    trace, parameters = traced(model, torch.zeros(4, WIDTH))
    moments = {
        name: Moments.independent(0.0, 1 / WIDTH, tuple(parameters.tensors[name].shape))
        for name in parameters.names
    }
    derived = propagate(trace.graph, moments)
    return Step(trace.graph, trace.graph.nodes[-1], derived.forward, {}), derived


def test_two_images_of_one_map_are_as_alike_as_what_they_are_of():
    step, derived = step_of(Compared())
    left, right = (node.name for node in step.graph.nodes if node.op == "linear")
    cross = Cross(step).of(left, right)
    bias = 1 / WIDTH
    assert cross.second == pytest.approx(WIDTH / WIDTH * 0.5 + bias)
    output = derived.forward[step.graph.outputs[0]]
    assert output.second == pytest.approx(0.25)  # (1 − ½)², and the bias is gone


def test_maps_by_weights_of_their_own_have_nothing_in_common():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
    step, _ = step_of(model)
    first, last = (node.name for node in step.graph.nodes if node.op == "linear")
    assert not step.graph.reused
    assert Cross(step).of(first, last) is None


def test_the_gradient_of_a_shared_weight_counts_all_uses():
    found = network_errors(Again(nn.Tanh(), 4), white((32, WIDTH), 1.0), draws=24)
    weights = {n: e for n, e in found["backward"].items() if n.endswith("weight")}
    assert len(weights) == 2
    assert np.max(list(weights.values())) < 0.06, weights


class Twins(nn.Module):
    """Two inputs through the same encoder, compared."""

    def __init__(self, compare):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.compare = compare

    def forward(self, x):
        return self.compare(self.encoder(x[0]), self.encoder(x[1]))


COMPARED = {
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "cosine": nn.functional.cosine_similarity,
}


@pytest.mark.parametrize("way", COMPARED)
def test_what_twins_make_is_alike(way):
    found = network_errors(Twins(COMPARED[way]), white((2, 48, 64), 1.0), draws=24)
    assert_within(found, forward=(0.01, 0.04))


def test_the_product_of_two_tensors_that_are_alike():
    generator = np.random.default_rng(0)
    common, own, others = (generator.standard_normal((2, 400_000)) for _ in range(3))
    shared = generator.standard_normal(400_000)  # between the two elements
    x = 0.3 + 0.8 * common + 0.5 * own + 0.4 * shared
    y = -0.2 + 0.7 * common + 0.6 * others
    axes = Moments.independent(shape=(2,)).axes
    x_moments = Moments(0.3, np.array([np.mean(x**2), np.mean(x[0] * x[1])]), axes)
    y_moments = Moments(-0.2, np.array([np.mean(y**2), np.mean(y[0] * y[1])]), axes)
    crossed = Moments(0.0, np.array([np.mean(x * y), np.mean(x[0] * y[1])]), axes)
    found = product(x_moments, y_moments, crossed)
    both = x * y
    assert found.mean == pytest.approx(both.mean(), abs=0.01)
    np.testing.assert_allclose(
        found.pairs, [np.mean(both**2), np.mean(both[0] * both[1])], rtol=0.02
    )
