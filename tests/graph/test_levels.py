"""Positions that differ in size: levels and kernels in closed form, drawn, and in real networks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evenflow.graph.levels.levels import Levels, corrected, product, spread_out, together
from evenflow.graph.levels.mixing import Mixing
from evenflow.graph.levels.registry import Use, forward
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.rules import RULES, Step
from evenflow.graph.softmax.competition import competition
from evenflow.torch.derive import derive

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors, parameter_laws

TOKENS, WIDTH, DRAWS = 8, 64, 8000
SHAPE = (3, 5, 4)


def uneven(axis, shape=SHAPE):
    values = np.linspace(0.2, 1.8, shape[axis])
    return Levels.along(values, axis, shape, spread_out(values))


@given(st.integers(0, 2), st.permutations([0, 1, 2]))
def test_levels_keep_their_axis_through_views_and_turns(axis, order):
    levels = uneven(axis)
    assert levels.axis(SHAPE) == axis
    assert levels.axis((3, 20)) == (0 if axis == 0 else None)
    turned = tuple(SHAPE[a] for a in order)
    assert levels.moved(order.index(axis), turned).axis(turned) == order.index(axis)


def test_what_a_rule_found_settles_to_a_mean_of_one():
    x = Moments.independent(0.0, 2.0, SHAPE, ("examples", "positions", "units"))
    found = uneven(1).changed(np.array([1.0, 2, 3, 4, 5]), np.diag([1.0, 2, 3, 4, 5]))
    moments, levels = corrected(x, found)
    assert moments.second == pytest.approx(2.0 * 3)
    assert levels.values == pytest.approx(np.arange(1, 6) / 3)
    assert corrected(moments, levels) == (moments, levels)


def test_levels_that_are_all_alike_are_none():
    x = Moments.independent(0.0, 1.0, SHAPE, ("examples", "positions", "units"))
    assert corrected(x, Levels.along(np.full(5, 4.0), 1, SHAPE))[1] is None


def test_how_alike_two_positions_are_enters_the_moments():
    x = Moments.independent(0.0, 1.0, SHAPE, ("examples", "positions", "units"))
    kernel = np.full((5, 5), 0.5) + 0.5 * np.eye(5)
    kernel[0] = kernel[:, 0] = 0.0
    kernel[0, 0] = 1.0
    moments, levels = corrected(x, Levels.along(np.ones(5), 1, SHAPE, kernel))
    assert moments.shared_positions == pytest.approx(12 * 0.5 / 20)
    assert levels.kernel == pytest.approx(kernel)


@pytest.mark.parametrize(
    ("norm", "taken"), [(nn.LayerNorm(WIDTH), 1.0), (nn.RMSNorm(WIDTH, eps=1e-5), 0.0)]
)
def test_a_mean_over_units_is_taken_off_kernels(norm, taken):
    shape = (3, 5, WIDTH)
    common = np.array([[0.4, 0.4], [0.3, 0.3], [0.1, 0.1]])  # of all units, by distance
    own = np.array([[0.6, 0.0], [0.2, 0.0], [0.05, 0.0]])
    axes = Moments.independent(shape=shape, roles=("examples", "positions", "units")).axes
    x = Moments(0.0, np.broadcast_to((common + own)[None], (1, 3, 2)), axes)
    trace, _ = traced(norm, torch.zeros(shape))
    (node,) = trace.graph.nodes
    (name,) = trace.graph.inputs
    affine = {"weight": 1.0, "bias": 0.0}.items()
    known = {key: Moments.constant(value, (WIDTH,)) for key, value in affine}
    step = Step(trace.graph, node, known | {name: x}, {})
    distance = np.minimum(np.abs(np.subtract.outer(np.arange(5), np.arange(5))), 2)
    levels = Levels.along(np.ones(5), 1, shape, (common + own)[distance, 0])
    result = RULES[node.op].forward(step)
    found = forward(Use(step, {name: levels}), result)
    left = (own + (1 - taken) * common)[distance, 0]
    assert found.kernel == pytest.approx(left / left[0, 0], abs=0.02)
    assert result.pairs[0, 2, 0] / result.second == pytest.approx(left[0, 2] / left[0, 0], abs=0.02)


@given(st.floats(0.05, 0.95))
def test_sums_and_products_of_independent_tensors(share):
    x = Moments.independent(0.0, 1.0, SHAPE, ("examples", "positions", "units"))
    levels = uneven(1)
    added = together([(share, levels, x), (1 - share, None, x)], SHAPE)
    assert added.values == pytest.approx(share * levels.values + 1 - share)
    assert np.diag(added.kernel) == pytest.approx(added.values)
    assert added.kernel[0, 1] == pytest.approx(share * levels.kernel[0, 1])
    squared = product([(levels, x), (levels, x)], SHAPE)
    assert squared.values == pytest.approx(levels.values**2)
    assert squared.kernel == pytest.approx(levels.kernel**2)


def drawn(kernel, width, generator):
    """Many draws of tokens that are as alike as a kernel says: (draws, tokens, units)."""
    root = np.linalg.cholesky(kernel + 1e-9 * np.eye(len(kernel)))
    return torch.tensor(root @ generator.standard_normal((DRAWS, len(kernel), width)))


def test_attention_mixes_kernels_as_real_draws_do():
    generator = np.random.default_rng(0)
    seen = np.tril(np.ones((TOKENS, TOKENS)))
    levels = np.linspace(2.0, 0.4, TOKENS)
    rising = np.exp(-np.abs(np.subtract.outer(*[np.arange(TOKENS)] * 2)) / 3)
    values, keys = rising * spread_out(levels), rising
    queries, gradient = 0.7 * np.eye(TOKENS) + 0.3, rising * spread_out(levels[::-1])
    scale = 0.02  # logits so small that a row weighs its keys alike
    given_kernels = (queries, keys, values, gradient)
    q, k, v, g = (drawn(each, WIDTH, generator) for each in given_kernels)
    leaves = {"query": q, "key": k, "value": v}
    for leaf in leaves.values():
        leaf.requires_grad_()
    mask = torch.tensor(seen, dtype=torch.bool)
    output = F.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    output.backward(g)
    mixing = Mixing(seen, competition(0.0, seen.sum(axis=1)))
    told = {
        "output": mixing.forwards(values),
        "value": mixing.to_values(gradient),
        "query": mixing.to_queries(values, keys, gradient) * scale**2 * WIDTH,
        "key": mixing.to_keys(values, queries, gradient) * scale**2 * WIDTH,
    }
    tensors = {"output": output.detach()} | {n: each.grad for n, each in leaves.items()}
    for name, each in told.items():
        found = torch.einsum("bid,bjd->ij", tensors[name], tensors[name]).numpy()
        assert each == pytest.approx(found / WIDTH / DRAWS, abs=0.03 * np.diag(each).max()), name


class Attending(nn.Module):
    """Pre-norm attention and a perceptron."""

    def __init__(self, *, causal):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.maps = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.wide = nn.Linear(WIDTH, 2 * WIDTH)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH)
        self.causal = causal

    def forward(self, x):
        z = self.norms[0](x)
        q, k, v = (each(z).unflatten(-1, (2, -1)).transpose(1, 2) for each in self.maps[:3])
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.maps[3](mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


class ClassToken(nn.Module):
    """A small token beside large ones, alone read at the end."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.1)
        self.blocks = nn.Sequential(*(Attending(causal=False) for _ in range(2)))

    def forward(self, x):
        token = self.token.expand(x.shape[0], -1, -1)
        return self.blocks(torch.cat([token, x], dim=1))[:, 0]

    def reset_parameters(self):
        nn.init.normal_(self.token, std=0.1)


class LastMoment(nn.Module):
    """The last output of a recurrent layer, or the last layer's last state."""

    def __init__(self, *, state):
        super().__init__()
        self.layer = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)
        self.state = state

    def forward(self, x):
        outputs, (states, _) = self.layer(x)
        return states[-1] if self.state else outputs[:, -1]


class Joined(nn.Module):
    """Channels of unlike size side by side, each divided by its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(16, 48, 3, padding=1, bias=False)
        self.second = nn.Conv2d(64, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(64)

    def forward(self, x):
        return self.second(self.norm(torch.cat([x, 0.2 * self.first(x)], dim=1)))


TEXT = (4, 24, WIDTH)
NETWORKS = {
    "class token": (ClassToken(), TEXT),
    "causal": (nn.Sequential(*(Attending(causal=True) for _ in range(3))), TEXT),
    "last output": (LastMoment(state=False), (8, 12, WIDTH)),
    "last state": (LastMoment(state=True), (8, 12, WIDTH)),
    "joined channels": (Joined(), (8, 16, 8, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_whose_positions_differ(name):
    model, shape = NETWORKS[name]
    found = network_errors(model, white(shape, 1.0))
    assert_within(found, forward=(0.01, 0.06), backward=(0.03, 0.1))


def test_a_key_s_bias_gets_no_gradient_and_never_less_than_none():
    model = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, batch_first=True, dropout=0.0)
    trace, parameters = traced(model, torch.zeros(TEXT))
    laws = {n: law.moments for n, law in parameter_laws(parameters).items()}
    derived = propagate(trace.graph, laws)
    assert min(each.second for each in derived.backward.values()) >= 0


class Masked(nn.Module):
    """A loop over moments that a mask of the data's own chooses from."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, keep):
        state = torch.zeros_like(x[:, 0])
        for t in range(5):
            state = torch.where(keep[:, t, None], 0.5 * state, state) + self.map(x[:, t])
        return state


def test_a_scan_under_a_mask_is_derived_or_told():
    derived = derive(Masked(), (torch.randn(3, 5, WIDTH), torch.rand(3, 5) > 0.5)).derivation
    told = derived.forward.keys() | derived.obstacles_forward.keys()
    assert derived.graph.outputs[0] in told
