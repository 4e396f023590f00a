"""The largest or smallest along axes: closed form, Monte Carlo, a real network."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate

from ..tracing import graph_of
from .laws import mixed, white
from .monte_carlo import assert_within, disagreements, network_errors

VECTORS = mixed((10, 12), 0.0, ("examples", "units"))
TOKENS = mixed((5, 6, 8), 0.0, ("examples", "positions", "units"))
IMAGES = mixed((4, 6, 5, 5), 0.0, ("examples", "units", "positions", "positions"))
CASES = {
    "largest unit": (lambda x: x.amax(-1), VECTORS),
    "with its index": (lambda x: x.max(1).values, TOKENS),
    "an axis in the middle": (lambda x: x.amax(1, keepdim=True), TOKENS),
    "all places": (lambda x: x.amax((2, 3)), IMAGES),
    "smallest": (lambda x: x.amin(-1), TOKENS),
    "behind ReLU": (lambda x: F.relu(x).max(1, keepdim=True)[0], TOKENS),
}


@pytest.mark.parametrize("name", CASES)
def test_extremes_have_the_moments_of_torchs(name):
    function, law = CASES[name]
    assert not disagreements(function, law, draws=150, tolerance=0.03)


class Largest(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x.amax(-1)


def test_the_larger_of_two_numbers():
    graph = graph_of(Largest(), torch.zeros(50, 2))
    derived = propagate(graph, {}, {"x": Moments.independent(0.0, 1.0, (50, 2))})
    found = derived.forward[graph.outputs[0]]
    assert found.mean == pytest.approx(1 / math.sqrt(math.pi), rel=1e-4)
    assert found.second == pytest.approx(1.0, rel=1e-4)
    assert derived.backward["x"].second == pytest.approx(0.5)


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.each, self.whole = nn.Linear(16, 128), nn.Linear(128, 128)

    def forward(self, x):
        return self.whole(F.relu(self.each(x)).amax(1))


def test_a_network_that_pools_sets():
    found = network_errors(PointNet(), white((16, 24, 16), 1.0), draws=24)
    assert_within(found, forward=(0.03, 0.08), backward=(0.05, 0.25))
