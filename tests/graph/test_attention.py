"""Attention against torch, forwards and backwards, over draws of queries, keys and values."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.graph.softmax.attention import (
    log_softmax,
    log_softmax_back,
    logsumexp,
    softmax,
    softmax_back,
)
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace
from evenflow.torch.weights import input_moments

from .attending import Attention

ROLES = ("examples", "units", "positions", "units")
SHAPE = (3, 4, 24, 32)
DRAWS = 12


def pieces(generator, size, shared):
    """A tensor (B, H, T, d) whose positions have a share of their values in common."""
    common = torch.randn(*size[:2], 1, size[3], generator=generator)
    return shared**0.5 * common + (1 - shared) ** 0.5 * torch.randn(size, generator=generator)


def by_hand(query, key, value, mask=None):
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(mask, float("-inf"))
    return F.softmax(logits, -1) @ value


LOWER = torch.ones(24, 24).tril().bool()
PADDED = torch.arange(24) < torch.tensor([24, 16, 6])[:, None, None, None]
CASES = {
    "plain": F.scaled_dot_product_attention,
    "scaled": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.4),
    "causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "mask": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=LOWER),
    "padding": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=PADDED),
    "added mask": lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, torch.zeros(24, 24).masked_fill(~LOWER, -1e9)
    ),
    "dropout": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.3),
    "grouped queries": lambda q, k, v: F.scaled_dot_product_attention(
        q, k[:, :2], v[:, :2], enable_gqa=True
    ),
    "by hand": by_hand,
    "by hand, causal": lambda q, k, v: by_hand(q, k, v, ~LOWER),
}


@pytest.mark.parametrize("shared", [0.0, 0.6])
@pytest.mark.parametrize("name", CASES)
def test_attention_agrees_with_torch(name, shared):
    generator = torch.Generator().manual_seed(3)
    model = Attention(CASES[name])
    found, said = [], []
    traced = None
    for _ in range(DRAWS):
        given = [pieces(generator, SHAPE, shared).requires_grad_() for _ in range(3)]
        call = Call(tuple(given), {})
        traced = traced or trace(call, ModelParameters(model))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            output = model(*given)
        output.backward(torch.randn(output.shape, generator=generator))
        found.append([square(output), *(square(x.grad) for x in given)])
        derived = propagate(traced.graph, {}, input_moments(traced.graph, call))
        assert not derived.obstacles_forward
        assert not derived.obstacles_backward
        told = [derived.forward[traced.graph.outputs[0]]]
        said.append([m.second for m in told + [derived.backward[n] for n in traced.graph.inputs]])
    ratios = np.sqrt(np.mean(found, axis=0) / np.mean(said, axis=0))
    np.testing.assert_allclose(ratios, 1, atol=0.05)


def with_a_sink(query, key, value):
    """One more logit that every row sees, whose probability no value gets."""
    logits = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~LOWER, -1e9)
    joined = torch.cat([logits, torch.zeros(1, 1, 1, 1).expand(*logits.shape[:-1], 1)], -1)
    return F.softmax(joined, -1)[..., :-1] @ value


def test_a_joined_logit_leaves_the_mask_as_it_is():
    model = Attention(with_a_sink)
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(SHAPE, generator=generator) for _ in range(3)]
    call = Call(tuple(given), {})
    graph = trace(call, ModelParameters(model)).graph
    derived = propagate(graph, {}, input_moments(graph, call))
    joined = next(node for node in graph.nodes if node.op == "cat")
    assert derived.forward[joined.name].hidden.shape == joined.shape
    said = derived.forward[graph.outputs[0]].second
    assert said == pytest.approx(square(model(*given)), rel=0.1)


def square(x):
    return x.detach().double().square().mean().item()


@pytest.mark.parametrize("scale", [0.3, 1.5])
@pytest.mark.parametrize(
    ("function", "forward", "backward"),
    [(torch.softmax, softmax, softmax_back), (torch.log_softmax, log_softmax, log_softmax_back)],
    ids=["softmax", "log softmax"],
)
def test_pairs_of_softmax(function, forward, backward, scale):
    generator = torch.Generator().manual_seed(5)
    roles = ("examples", "positions", "units")
    common = torch.randn(300, 1, 16, generator=generator)
    z = scale * (torch.randn(300, 20, 16, generator=generator) + 0.5 * common)
    z = (z + torch.randn(300, 1, 1, generator=generator)).requires_grad_()
    cotangent = torch.randn(z.shape, generator=generator) + 0.7
    y = function(z, -1)
    y.backward(cotangent)
    told = measured(z.detach().numpy(), roles)
    close(forward(told, 2), measured(y.detach().numpy(), roles), 0.05)
    back = backward(told, measured(cotangent.numpy(), roles), 2)
    close(back, measured(z.grad.numpy(), roles), 0.08)


def test_logsumexp():
    z = 1.2 * np.random.default_rng(0).normal(size=(400, 50)) + 0.3
    found = logsumexp(measured(z, ("examples", "units")), 1)
    real = measured(np.log(np.exp(z).sum(axis=1, keepdims=True)), ("examples", "units"))
    close(found, real, 0.01)
    assert found.mean == pytest.approx(real.mean, rel=0.01)


def close(found: Moments, real: Moments, share: float):
    """Pairs agree to a share of the second moment."""
    pairs = np.broadcast_to(found.pairs, real.pairs.shape)
    np.testing.assert_allclose(pairs / real.second, real.pairs / real.second, atol=share)
