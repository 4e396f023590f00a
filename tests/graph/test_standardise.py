"""Normalisations written out by hand are told as those of torch's own modules."""

import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.simplify.standardise import standardise
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace

EPS = 1e-3


def root_mean_square(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)


def by_product(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS)


def cast(x):
    wide = x.to(torch.float64)
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS)).to(x.dtype)


def centred(x):
    moved = x - x.mean(-1, keepdim=True)
    return moved / torch.sqrt(moved.pow(2).mean(-1, keepdim=True) + EPS)


def by_variance(x):
    moved = x - x.mean(-1, keepdim=True)
    return moved * torch.rsqrt(x.var(-1, keepdim=True, unbiased=False) + EPS)


def by_deviation(x):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + EPS**0.5)


def written_twice(x):
    wide = x.to(torch.float32)
    moved, again = wide - wide.mean(-1, keepdim=True), wide - wide.mean(-1, keepdim=True)
    return moved * torch.rsqrt(again.pow(2).mean(-1, keepdim=True) + EPS)


def mean_read_twice(x):
    mean = x.mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt((x - mean).pow(2).mean(-1, keepdim=True) + EPS)


class Normed(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.function = function

    def forward(self, x):
        return self.function(self.first(x))


WAYS = {
    root_mean_square: nn.RMSNorm(64, eps=EPS, elementwise_affine=False),
    by_product: nn.RMSNorm(64, eps=EPS, elementwise_affine=False),
    cast: nn.RMSNorm(64, eps=EPS, elementwise_affine=False),
    centred: nn.LayerNorm(64, eps=EPS, elementwise_affine=False),
    written_twice: nn.LayerNorm(64, eps=EPS, elementwise_affine=False),
    mean_read_twice: nn.LayerNorm(64, eps=EPS, elementwise_affine=False),
    by_variance: nn.LayerNorm(64, eps=EPS, elementwise_affine=False),
    by_deviation: nn.LayerNorm(64, eps=EPS, elementwise_affine=False),
}


def derived(function):
    model = Normed(function)
    graph = trace(Call((torch.randn(8, 64),), {}), ModelParameters(model)).graph
    known = {
        "first.weight": Moments.independent(0.0, 0.03, (64, 64)),
        "first.bias": Moments.independent(0.0, 0.5, (64,)),
    }
    return graph, propagate(graph, known)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_hand_written_norms_are_those_of_torch(way):
    graph, found = derived(way)
    assert [node.op for node in graph.nodes if node.op == "standardise"]
    assert not {"mean", "rsqrt", "sqrt", "var", "std", "activation"} & {n.op for n in graph.nodes}
    theirs, right = derived(WAYS[way])
    for name in ("first.weight", "first.bias"):
        assert found.backward[name].second == pytest.approx(right.backward[name].second)
    ours = found.forward[graph.outputs[0]].second
    assert ours == pytest.approx(right.forward[theirs.outputs[0]].second)


LENGTHS = {
    "normalize": lambda x: nn.functional.normalize(x, dim=-1),
    "norm": lambda x: x / x.norm(dim=-1, keepdim=True),
    "vector norm": lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-6),
    "root of a sum": lambda x: x / x.pow(2).sum(-1, keepdim=True).sqrt(),
}


@pytest.mark.parametrize("way", LENGTHS)
def test_a_vector_over_its_length_is_a_norm_of_mean_square(way):
    graph, found = derived(LENGTHS[way])
    assert "standardise" in {node.op for node in graph.nodes}
    assert not {"linalg_vector_norm", "div"} & {node.op for node in graph.nodes}
    theirs, right = derived(nn.RMSNorm(64, eps=0.0, elementwise_affine=False))
    ours = found.forward[graph.outputs[0]].second
    assert ours == pytest.approx(right.forward[theirs.outputs[0]].second / 64)
    gradient = found.backward["first.weight"].second
    assert gradient == pytest.approx(right.backward["first.weight"].second / 64)


def test_a_length_along_another_axis_is_none():
    graph, _ = derived(lambda x: x[:, :8] / x[:, :8].norm(dim=-1))
    assert "standardise" not in {node.op for node in graph.nodes}


def test_a_quotient_by_another_tensors_size_is_none():
    def other(x):
        return x / torch.sqrt((x + 1).pow(2).mean(-1, keepdim=True))

    graph, _ = derived(other)
    assert not [node for node in graph.nodes if node.op == "standardise"]


def test_a_step_that_is_read_elsewhere_stays():
    def both(x):
        square = x.pow(2).mean(-1, keepdim=True)
        return x * torch.rsqrt(square + EPS) + square

    graph, _ = derived(both)
    assert {"standardise", "mean"} <= {node.op for node in graph.nodes}
    assert standardise(graph).nodes == graph.nodes
