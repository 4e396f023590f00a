"""Attention written out by hand is told as the fused operation that it is."""

import math

import pytest
import torch
import torch.nn.functional as F

from evenflow.graph.moments import Moments, roles_of
from evenflow.graph.propagate import propagate

from ..tracing import graph_of
from .attending import Attention

SHAPE = (2, 4, 12, 16)
LOWER = torch.ones(12, 12).tril().bool()
SLOPES = -0.1 * torch.arange(12.0)


def masked(q, k, v):
    logits = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    return F.softmax(logits.masked_fill(~LOWER, float("-inf")), dim=-1) @ v


def chosen(q, k, v):
    logits = torch.matmul(q, k.transpose(-1, -2))
    lowest = torch.full([], torch.finfo(logits.dtype).min)
    return torch.matmul(torch.where(LOWER, logits, lowest).div(4.0).softmax(-1).to(v.dtype), v)


def added(q, k, v):
    logits = (q / 4.0) @ k.mT + torch.zeros(12, 12).masked_fill(~LOWER, -1e9)
    return F.dropout(logits.softmax(-1), 0.1, training=False) @ v


def biased(q, k, v):
    logits = q @ k.transpose(2, 3) / 4.0 + SLOPES
    return logits.masked_fill(~LOWER, -1e4).softmax(3) @ v


def plain(q, k, v):
    return ((q * 0.5) @ (k * 0.5).transpose(-1, -2)).softmax(-1) @ v


def folded(q, k, v):
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    return (torch.bmm(q, k.transpose(1, 2)) * 0.25).softmax(-1).bmm(v).unflatten(0, (2, 4))


CASES = {
    masked: lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    chosen: lambda q, k, v: F.scaled_dot_product_attention(q, k, v, LOWER),
    added: lambda q, k, v: F.scaled_dot_product_attention(q, k, v, LOWER),
    biased: lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, SLOPES.expand(12, 12).masked_fill(~LOWER, float("-inf"))
    ),
    plain: F.scaled_dot_product_attention,
    folded: F.scaled_dot_product_attention,
}


def derived(function):
    graph = graph_of(Attention(function), *(torch.zeros(SHAPE) for _ in range(3)))
    alone = Moments.independent(0.0, 1.0, SHAPE, roles_of(SHAPE))
    common = Moments.independent(0.0, 0.5, (*SHAPE[:2], 1, SHAPE[3]))
    found = propagate(graph, {}, dict.fromkeys(graph.inputs, alone.plus(common)))
    assert not found.obstacles_backward
    return graph, [found.forward[graph.outputs[0]], *(found.backward[n] for n in graph.inputs)]


@pytest.mark.parametrize("way", CASES, ids=lambda way: way.__name__)
def test_attention_by_hand_is_that_of_torch(way):
    graph, ours = derived(way)
    ops = [node.op for node in graph.nodes]
    assert "scaled_dot_product_attention" in ops
    assert not {"softmax", "masked_fill", "where"} & set(ops)
    _, theirs = derived(CASES[way])
    for mine, right in zip(ours, theirs, strict=True):
        assert mine.second == pytest.approx(right.second, rel=1e-6)
        assert mine.shared_positions == pytest.approx(right.shared_positions, rel=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda q, k, v: torch.tanh(q @ k.transpose(-1, -2)).softmax(-1) @ v,
        lambda q, k, v: (q @ k.transpose(-1, -2)).softmax(-2) @ v,
        lambda q, k, v: (q @ k.transpose(-1, -2) + v[..., :1]).softmax(-1) @ v,
    ],
)
def test_anything_else_stays_as_it_is(function):
    graph, _ = derived(function)
    assert "scaled_dot_product_attention" not in {node.op for node in graph.nodes}


def test_weights_that_are_returned_stay():
    def both(q, k, v):
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        return weights @ v, weights

    graph, _ = derived(both)
    assert {"softmax", "scaled_dot_product_attention"} <= {node.op for node in graph.nodes}
