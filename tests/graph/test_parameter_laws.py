"""Laws of parameters: what a uniform bias makes of the sums that it is added to."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm, truncnorm
from torch import nn

from evenflow.graph.algebra.through import operating, slopes, through
from evenflow.graph.laws.drawn import (
    differs_from_normal,
    of_values,
    truncated,
    uniform,
    with_term,
)
from evenflow.graph.laws.law import hermite
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.planning.distributions import Uniform
from evenflow.planning.scaling import moments
from evenflow.theory.activations import find
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.weights import measured

from ..tracing import traced
from .monte_carlo import certain_error, keep, square

NODES, WEIGHTS = hermite()[0], hermite()[1][:, 0]
PAIR = Moments.independent(shape=(2,)).axes
ACTIVATIONS = {
    "tanhshrink": find("tanhshrink"),
    "hardshrink": find("hardshrink", lambd=0.7),
    "squared ReLU": find("squared_relu"),
    "ReLU": find("relu"),
}
KINKS = {"hardshrink": (-0.7, 0.7), "squared ReLU": (0.0,), "ReLU": (0.0,)}


def biased(share, correlation=0.0):
    """Two numbers of variance 1, each a sum of a normal one, these of some correlation, and a
    uniform bias that both have in common and that holds this share of the variance."""
    pairs = np.array([1.0, share + (1 - share) * correlation])
    return Moments(0.0, pairs, PAIR, law=with_term(1.0, uniform(), share))


def mean_of(function, share, kinks):
    """E of a function of such a number, by quadrature."""
    bound, sigma = (3 * share) ** 0.5, (1 - share) ** 0.5

    def density(z):
        return (norm.cdf((z + bound) / sigma) - norm.cdf((z - bound) / sigma)) / (2 * bound)

    end = bound + 9 * sigma
    at = sorted([*kinks, -bound, bound])
    return quad(lambda z: float(function(z)) * density(z), -end, end, points=at, limit=200)[0]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_a_normal_number_and_a_uniform_bias(name, share):
    activation, kinks = ACTIVATIONS[name], KINKS.get(name, ())
    at = operating(biased(share), activation)
    second = mean_of(lambda z: activation.function(np.array(z)) ** 2, share, kinks)
    slope = mean_of(lambda z: activation.derivative(np.array(z)) ** 2, share, kinks)
    assert at.second == pytest.approx(second, rel=5e-3)
    assert at.backward == pytest.approx(slope, rel=5e-3)


@pytest.mark.parametrize(
    ("share", "correlation", "error"),
    [(0.5, 0.0, 0.09), (0.8, 0.0, 0.13), (0.8, 0.5, 0.08), (0.98, 0.0, 0.03)],
)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_pairs_that_have_their_bias_in_common(name, share, correlation, error):
    """To what a Gaussian copula can tell, which is least where both terms are of a size."""
    rng, activation = np.random.default_rng(0), ACTIVATIONS[name]
    bias = (3 * share) ** 0.5 * rng.uniform(-1, 1, 400_000)
    both = rng.standard_normal((3, 400_000)) * (1 - share) ** 0.5
    z, y = (bias + correlation**0.5 * both[2] + (1 - correlation) ** 0.5 * own for own in both[:2])
    x = biased(share, correlation)
    total = operating(x, activation)
    found = through(x, activation).pairs[1] / total.second
    drawn = np.mean(activation.function(z) * activation.function(y)) / total.second
    assert found == pytest.approx(drawn, abs=error)
    met = np.mean(activation.derivative(z) * activation.derivative(y)) / total.backward
    assert slopes(x, activation)[1] / total.backward == pytest.approx(met, abs=error)


def test_laws_are_those_of_their_distributions():
    inside = np.abs(NODES) < 5
    assert WEIGHTS @ uniform().values ** 4 == pytest.approx(9 / 5, rel=1e-3)
    cut = truncnorm(-0.5, 2.0)
    expected = (cut.ppf(norm.cdf(NODES)) - cut.mean()) / cut.std()
    assert truncated(-0.5, 2.0).values[inside] == pytest.approx(expected[inside], abs=2e-3)
    drawn = np.random.default_rng(0).exponential(size=20_000)
    assert WEIGHTS @ of_values(drawn).values ** 3 == pytest.approx(2.0, rel=0.15)


def test_a_term_shows_by_its_share_alone():
    assert with_term(1.0, uniform(), 1e-3) is None
    assert with_term(1.0, None, 0.9) is None
    whole = with_term(1.0, uniform(), 1.0)
    assert whole is uniform()
    half = with_term(2.0, uniform(), 1.0)
    assert WEIGHTS @ half.values**4 == pytest.approx(3 - 1.2 / 4, rel=2e-3)


def test_values_are_told_from_normal_ones():
    rng = np.random.default_rng(0)

    def kurtosis(x):
        x = x - x.mean()
        return float(np.mean(x**4) / np.mean(x**2) ** 2)

    def told(make):
        return np.mean([differs_from_normal(kurtosis(make()), 128) for _ in range(500)])

    assert told(lambda: rng.uniform(size=128)) > 0.99
    assert told(lambda: rng.normal(size=128)) < 0.05
    assert told(lambda: rng.laplace(size=128)) > 0.5
    assert not differs_from_normal(0.0, 128)


class Dying(nn.Module):
    """A signal that is soon nothing but its biases; one of them added by hand."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(128, 128) for _ in range(4))
        self.bias = nn.Parameter(torch.zeros(128))
        self.conv = nn.Conv1d(128, 128, 1)

    def forward(self, x):
        for layer in self.layers:
            x = nn.functional.tanhshrink(layer(x))
        x = nn.functional.tanhshrink(x + self.bias)
        return nn.functional.tanhshrink(self.conv(x[:, :, None]))


def test_a_network_whose_signal_dies_down_to_uniform_biases():
    rng, model = np.random.default_rng(0), Dying()
    x = torch.tensor(rng.standard_normal((16, 128)), dtype=torch.float32)
    trace, parameters = traced(model, x)
    bounds = {n: 1.0 if t.dim() == 1 else 128**-0.5 for n, t in parameters.tensors.items()}
    known = {
        name: moments(Uniform(bound), tuple(parameters.tensors[name].shape))
        for name, bound in bounds.items()
    }
    derived = propagate(trace.graph, known, {})
    told = [
        node.name
        for node in trace.graph.nodes
        if node.activation or node.op in ("linear", "conv1d")
    ]
    ahead, back = {name: [] for name in told}, {name: [] for name in told}
    for _ in range(24):
        with torch.no_grad():
            for name, bound in bounds.items():
                tensor = parameters.tensors[name]
                tensor.copy_(torch.tensor(rng.uniform(-bound, bound, tensor.shape)))
        kept = {}
        output = run(trace, parameters, Call((x,), {}), keep(kept))
        output.backward(torch.tensor(rng.standard_normal(output.shape), dtype=torch.float32))
        for name in told:
            ahead[name].append(square(kept[name]))
            back[name].append(square(kept[name].grad))
    for name in told:
        assert certain_error(np.array(ahead[name]), derived.forward[name].second) < 0.03, name
        assert certain_error(np.array(back[name]), derived.backward[name].second) < 0.05, name


def test_a_real_bias_has_the_law_of_its_values():
    generator = torch.Generator().manual_seed(0)
    bias = torch.rand(256, generator=generator)
    law = measured(bias).law
    assert law is not None
    assert WEIGHTS @ law.values**4 == pytest.approx(measured(bias).kurtosis, rel=0.02)
    normal = torch.special.ndtri((torch.arange(256) + 0.5) / 256)
    assert measured(normal).law is None
    assert measured(torch.rand(16, 16, generator=generator)).law is None
    assert measured(torch.ones(256)).law is None
