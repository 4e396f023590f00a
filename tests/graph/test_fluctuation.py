"""Intervals over draws of the weights: closed form, and real networks drawn many times."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import nn

from evenflow.graph.fluctuation import Fluctuation
from evenflow.graph.fluctuation.scatter import scatter
from evenflow.graph.levels import Levels
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.theory.gain import gain
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

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


def drawn_fields(covariance, mean, units, draws, generator):
    """Mean squares of ``draws`` tensors of independent units, each a normal vector."""
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    fields = mean + generator.standard_normal((draws, units, len(covariance))) @ root.T
    return (fields**2).mean(axis=(1, 2))


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_scatter_is_the_variance_of_a_mean_square(mean):
    """Two examples of three positions that have parts in common, by Monte Carlo."""
    same, position, example, both = 1.0, 0.5, 0.3, 0.2
    block, other = (
        np.where(np.eye(3, dtype=bool), at, apart)
        for at, apart in ((same, position), (example, both))
    )
    covariance = np.block([[block, other], [other, block]])
    values = drawn_fields(covariance, mean, 8, 100_000, np.random.default_rng(0))
    pairs = np.array([[same, position], [example, both]])[..., None] * np.array([1.0, 0.0])
    x = replace(
        Moments.independent(shape=(2, 3, 8), roles=("examples", "positions", "units")),
        mean=mean,
        pairs=pairs + mean**2,
    )
    assert scatter(x) == pytest.approx(values.var() / values.mean() ** 2, rel=0.03)


def test_scatter_counts_large_positions_for_more():
    """Rows of a running mean: the first is the largest, and neighbours are much alike."""
    rows = 1.0 + np.arange(6)
    kernel = 1 / np.maximum.outer(rows, rows)
    size = np.diag(kernel).mean()
    values = drawn_fields(kernel, 0.0, 16, 50_000, np.random.default_rng(1))
    x = Moments.independent(0.0, size, (6, 16), ("positions", "units"))
    levels = Levels.along(np.diag(kernel) / size, 0, x.shape, kernel / size)
    assert scatter(x, levels=levels) == pytest.approx(values.var() / values.mean() ** 2, rel=0.03)
    assert scatter(x, levels=levels) > 2 * scatter(x)


def test_a_large_example_counts_for_more():
    """Of independent rows of unlike norm, Σ|x|⁴ is what matters."""
    norms = np.array([0.2, 0.5, 1.0, 2.3])
    values = drawn_fields(np.diag(norms), 0.0, 8, 100_000, np.random.default_rng(2))
    spread = float(norms.var() / norms.mean() ** 2)
    x = replace(
        Moments.independent(0.0, float(norms.mean()), (4, 8), ("examples", "units")),
        spread=spread,
        spread_examples=spread,
    )
    assert scatter(x) == pytest.approx(values.var() / values.mean() ** 2, rel=0.03)


@pytest.mark.parametrize("units", [1, 3, 30])
def test_a_mean_of_few_squares_leans_to_the_left(units):
    low, high = Fluctuation(own=2 / units).interval(Moments.independent())
    law = chi2(units)
    assert math.log(high) == pytest.approx(math.log(law.ppf(0.95) / units), abs=0.08)
    assert math.log(low) == pytest.approx(math.log(law.ppf(0.05) / units), abs=0.08 + 0.3 / units)


class Reader(nn.Module):
    """Rows of a table, two of their quarters, and what a linear layer makes of them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, tokens):
        rows = self.table(tokens)
        whole = self.linear(rows)
        return rows[..., : WIDTH // 4], whole, whole.mean(dim=1)


def sd(derivation, name):
    low, high = derivation.interval_forward[name]
    return math.log(high / low) / 2 / 1.6449


def test_tables_are_drawn_too_and_parts_scatter_more():
    tokens = torch.arange(24).reshape(4, 6)
    trace, parameters = traced(Reader(), tokens)
    weights = {
        name: Moments.independent(0.0, 1 / WIDTH, tuple(parameter.shape))
        for name, parameter in parameters.tensors.items()
    }
    derivation = propagate(trace.graph, weights)
    rows = next(node.name for node in trace.graph.nodes if node.op == "embedding")
    part, _, mean = trace.graph.outputs
    assert sd(derivation, rows) == pytest.approx((2 / (24 * WIDTH)) ** 0.5, rel=0.1)
    assert sd(derivation, part) == pytest.approx((2 / (6 * WIDTH)) ** 0.5, rel=0.1)
    # Of a mean over positions, table and weights each scatter by four examples' squares.
    assert sd(derivation, mean) == pytest.approx((2 * 2 / (4 * WIDTH)) ** 0.5, rel=0.1)


def test_an_output_that_is_also_read_keeps_its_own_cotangent():
    """A head that reads one position of many leaves the others' gradient as steady as it was."""

    class Headed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(WIDTH, WIDTH, bias=False)
            self.head = nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x):
            states = self.body(x)
            return states, self.head(states[:, 0])

    trace, parameters = traced(Headed(), torch.zeros(4, 32, WIDTH))
    weights = {
        name: Moments.independent(0.0, 1 / WIDTH, tuple(parameter.shape))
        for name, parameter in parameters.tensors.items()
    }
    derivation = propagate(trace.graph, weights)
    low, high = derivation.interval_backward[trace.graph.outputs[0]]
    assert math.log(high / low) / 2 / 1.6449 < 0.02


class Attending(nn.Module):
    """One causal attention."""

    def __init__(self, width, heads):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(4))
        self.heads = heads

    def forward(self, x):
        query, key, value = (
            each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.maps[:3]
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.maps[3](mixed.transpose(1, 2).flatten(-2))


def test_widths_through_a_causal_attention():
    """Values, gradients of values, and of queries and keys, where few rows are most of all."""
    width, draws = 64, 200
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, 16, width, generator=generator)
    model = Attending(width, 4)
    trace, parameters = traced(model, x)
    small = {"maps.0.weight": 0.05, "maps.1.weight": 0.05}
    weights = {
        name: Moments.independent(0.0, small.get(name, 1.0) / width, tuple(parameter.shape))
        for name, parameter in parameters.tensors.items()
    }
    derivation = propagate(trace.graph, weights)
    found = {"forward": {}, "backward": {}}
    for _ in range(draws):
        for name, parameter in model.named_parameters():
            parameter.data.normal_(0, weights[name].second ** 0.5, generator=generator)
        values = {}

        def look(name, value, values=values):
            value.retain_grad()
            values[name] = value
            return value

        out = run(trace, parameters, Call.of(x), look)
        out.backward(torch.randn(out.shape, generator=generator))
        for name, value in values.items():
            if value.grad is not None:  # what a view has, its source has too
                for direction, tensor in (("forward", value), ("backward", value.grad)):
                    logs = found[direction].setdefault(name, [])
                    logs.append(tensor.detach().square().mean().log().item())
    for direction, tensors in found.items():
        intervals = getattr(derivation, f"interval_{direction}")
        for name, logs in tensors.items():
            low, high = intervals[name]
            predicted = math.log(high / low) / 2 / 1.6449
            assert 0.75 < np.std(logs) / predicted < 1.33, (direction, name)


def test_squares_of_uniform_biases_scatter_less():
    """Relative variance 9/5 − 1 of each, where a normal one's is 2."""
    model = nn.Linear(WIDTH, 256)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.linspace(-1, 1, 256))
    x = torch.zeros(4, WIDTH)
    trace, parameters = traced(model, x)
    derivation = propagate(trace.graph, parameter_moments(trace.graph, parameters))
    assert sd(derivation, trace.graph.outputs[0]) == pytest.approx((0.8 / 256) ** 0.5, rel=0.02)


class Pooling(nn.Module):
    """Means over neighbours of what a linear layer makes, and a part of what a norm leaves."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x, adjacency):
        values = self.linear(x)
        normal = nn.functional.layer_norm(values, (WIDTH,))
        return adjacency @ values, normal[..., : WIDTH // 4]


def test_neighbours_and_parts_of_what_is_normalised():
    positions, variance = 6, 1 / WIDTH
    x = torch.randn(4, positions, WIDTH, generator=torch.Generator().manual_seed(5))
    adjacency = torch.full((4, positions, positions), 1 / positions)
    trace, parameters = traced(Pooling(), x, adjacency)
    weights = {
        name: Moments.independent(0.0, variance, tuple(parameter.shape))
        for name, parameter in parameters.tensors.items()
    }
    call = Call.of((x, adjacency))
    derivation = propagate(trace.graph, weights, input_moments(trace.graph, call))
    mean, part = trace.graph.outputs
    # Inputs stay as they are: only the weights' 128 units are drawn, once for each example.
    assert sd(derivation, mean) == pytest.approx((2 / (4 * WIDTH)) ** 0.5, rel=0.1)
    # A quarter of a vector whose length is held: χ² of a quarter, less that of the whole.
    quarter, whole = (2 / (4 * positions * units) for units in (WIDTH // 4, WIDTH))
    assert sd(derivation, part) == pytest.approx((quarter - whole) ** 0.5, rel=0.1)
