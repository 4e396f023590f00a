"""Fans of gates, look-ups and bilinear forms, forwards and backwards through the real layers.

A gate's pre-activations are hidden inside an LSTM or a GRU. With the other gates held open or shut
by large biases, one step's output is an increasing function of them alone, which is inverted: what
is measured is the layer's own arithmetic, gradients included.
"""

import pytest
import torch
from torch import nn

from evenflow.planning.uses import uses

from ..tracing import graph_of

DRAWS = 32
WIDTH, HIDDEN = 96, 64
OPEN = 60.0  # sigmoid and tanh of it are 1 to the last bit, and 0 or −1 on the other side


def filled(layer, held, gate, generator):
    """Biases that hold every gate but one; that one's weights drawn with variance 0.01/fan_in."""
    rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.zero_()
            if name == "bias_ih_l0":
                for other, bias in held.items():
                    parameter[other * HIDDEN : (other + 1) * HIDDEN] = bias
            elif name.startswith("weight"):
                std = 0.1 * parameter.shape[1] ** -0.5
                parameter[rows].normal_(0, std, generator=generator)


def logit(p):
    return torch.log(p) - torch.log1p(-p)


def lstm(layer, gate, x, h):
    """Pre-activations of one gate of an LSTM (order i, f, g, o), out of its new hidden state."""
    c = torch.ones(1, len(x), HIDDEN, dtype=x.dtype)
    _, (hidden, cell) = layer(x[None], (h[None], c))
    if gate == 0:  # forget all, candidate 1, output 1: c′ = σ(i)
        return logit(cell[0])
    if gate == 1:  # input nothing: c′ = σ(f)·1
        return logit(cell[0])
    if gate == 2:  # forget all, input all: c′ = tanh(g)
        return torch.atanh(cell[0])
    return logit(hidden[0] / torch.tanh(cell[0]))  # keep c = 1: h′ = σ(o) tanh 1


LSTM_HELD = {
    0: {1: -OPEN, 2: OPEN, 3: OPEN},
    1: {0: -OPEN, 2: 0.0, 3: OPEN},
    2: {0: OPEN, 1: -OPEN, 3: OPEN},
    3: {0: -OPEN, 1: OPEN, 2: 0.0},
}


def gru(layer, gate, x, h):
    """Pre-activations of one gate of a GRU (order r, z, n): h′ = (1 − z) n + z h."""
    with torch.no_grad():  # n's own hidden bias is what r lets through
        layer.bias_hh_l0[2 * HIDDEN :] = 1.0 if gate == 0 else 0.0
    _, new = layer(x[None], h[None])
    if gate == 0:  # z = 0: h′ = tanh(σ(r)·1)
        return logit(torch.atanh(new[0]))
    if gate == 1:  # n = 1: h′ = 1 − σ(z)(1 − h)
        return logit((1 - new[0]) / (1 - h))
    return torch.atanh(new[0])  # z = 0, r = 1: h′ = tanh(n)


GRU_HELD = {0: {1: -OPEN}, 1: {2: OPEN}, 2: {0: OPEN, 1: -OPEN}}


@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l0"])
@pytest.mark.parametrize(
    ("kind", "gate"), [(nn.LSTM, gate) for gate in range(4)] + [(nn.GRU, gate) for gate in range(3)]
)
def test_every_gate_is_a_matrix_of_its_own(kind, gate, weight):
    layer = kind(WIDTH, HIDDEN).double()
    (use,) = uses(graph_of(layer, torch.zeros(1, 4, WIDTH, dtype=torch.float64)))[weight]
    gates = 4 if kind is nn.LSTM else 3
    assert (use.role, use.blocks, use.axis) == ("recurrent", (HIDDEN,) * gates, 0)

    read, held = (lstm, LSTM_HELD) if kind is nn.LSTM else (gru, GRU_HELD)
    generator = torch.Generator().manual_seed(0)
    forward, backward = [], []
    for _ in range(DRAWS):
        filled(layer, held[gate], gate, generator)
        given = torch.randn(
            256, int(use.fan_in), generator=generator, dtype=torch.float64, requires_grad=True
        )
        still = torch.zeros(256, HIDDEN if "ih" in weight else WIDTH, dtype=torch.float64)
        x, h = (given, still) if "ih" in weight else (still, given)
        z = read(layer, gate, x, h)
        cotangent = torch.randn(z.shape, generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad(z, given, cotangent)
        forward.append(z.detach().square().mean())
        backward.append(gradient.square().mean())
    variance = 0.01 / use.fan_in
    assert torch.stack(forward).mean().item() == pytest.approx(use.fan_in * variance, rel=0.03)
    assert torch.stack(backward).mean().item() == pytest.approx(use.fan_out * variance, rel=0.03)


def test_layers_directions_and_projections_are_told_apart():
    layer = nn.LSTM(24, 16, num_layers=2, bidirectional=True, proj_size=8)
    found = uses(graph_of(layer, torch.zeros(3, 2, 24)))
    fans = {name: (use.fan_in, use.fan_out) for name, (use,) in found.items() if use.is_weight}
    for end in ("", "_reverse"):
        assert fans[f"weight_ih_l0{end}"] == (24, 16)
        assert fans[f"weight_ih_l1{end}"] == (16, 16)  # both directions' projections
        assert fans[f"weight_hh_l0{end}"] == fans[f"weight_hh_l1{end}"] == (8, 16)
        assert fans[f"weight_hr_l0{end}"] == (16, 8)
    assert found["weight_hr_l0"][0].blocks == ()
    assert {use.role for name, (use,) in found.items() if "bias" in name} == {"bias"}


def test_only_the_first_layer_reads_the_input():
    found = uses(graph_of(nn.GRU(8, 8, num_layers=2), torch.zeros(3, 2, 8)))
    sources = {name: use.source for name, (use,) in found.items() if use.is_weight}
    assert sources == {
        "weight_ih_l0": "input",
        "weight_hh_l0": "",
        "weight_ih_l1": "gru",
        "weight_hh_l1": "",
    }


@pytest.mark.parametrize(
    ("cell", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)], ids=["l", "g", "r"]
)
def test_cells_are_read_like_layers(cell, gates):
    found = uses(graph_of(cell(12, 8), torch.zeros(2, 12)))
    (into,), (hidden,) = found["weight_ih"], found["weight_hh"]
    assert (into.fan_in, into.fan_out) == (12, 8)
    assert (hidden.fan_in, hidden.fan_out) == (8, 8)
    assert into.blocks == ((8,) * gates if gates > 1 else ())
    assert found["bias_ih"][0].role == "bias"


def test_an_embedding_looks_one_row_up():
    table = nn.Embedding(64, 32)
    (use,) = uses(graph_of(table, torch.zeros(4, 8, dtype=torch.long)))["weight"]
    assert (use.role, use.fan_in, use.fan_out) == ("embedding", 1, 0)
    nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(0))
    rows = table(torch.arange(64))
    assert rows.square().mean().item() == pytest.approx(1.0, rel=0.05)


def test_a_bilinear_form_sums_over_pairs():
    layer = nn.Bilinear(24, 16, 12, bias=False)
    x, y = torch.zeros(8, 24), torch.zeros(8, 16)
    (use,) = uses(graph_of(layer, x, y))["weight"]
    assert (use.role, use.fan_in) == ("bilinear", 24 * 16)
    to_first, to_second = 12 * 16, 12 * 24
    assert use.fan_out == (to_first + to_second) / 2

    generator = torch.Generator().manual_seed(0)
    outputs, firsts, seconds = [], [], []
    for _ in range(DRAWS):
        nn.init.normal_(layer.weight, generator=generator)
        x = torch.randn(128, 24, generator=generator, requires_grad=True)
        y = torch.randn(128, 16, generator=generator, requires_grad=True)
        z = layer(x, y)
        z.backward(torch.randn(z.shape, generator=generator))
        outputs.append(z.detach().square().mean())
        firsts.append(x.grad.square().mean())
        seconds.append(y.grad.square().mean())
    for measured, terms in ((outputs, use.fan_in), (firsts, to_first), (seconds, to_second)):
        assert torch.stack(measured).mean().item() == pytest.approx(terms, rel=0.03)


class Tagger(nn.Module):
    """Tied: the head is the embedding's own matrix."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(100, 16)
        self.head = nn.Linear(16, 100, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.embedding(tokens)))


def test_a_tied_embedding_and_head_are_two_uses_of_one_parameter():
    found = uses(graph_of(Tagger(), torch.zeros(2, 5, dtype=torch.long)))
    assert set(found) == {"embedding.weight"}
    look_up, head = found["embedding.weight"]
    assert (look_up.role, look_up.fan_in) == ("embedding", 1)
    assert (head.role, head.fan_in, head.fan_out) == ("linear", 16, 100)
