"""Cells in a loop of Python: against the layer that they are together, and against real ones."""

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.propagate import propagate
from evenflow.graph.recurrent import through_time
from evenflow.graph.recurrent.cells import CELLS
from evenflow.graph.recurrent.chains import Alike, covariance
from evenflow.graph.recurrent.through_time import Layer, run, run_back
from evenflow.graph.rules.unrolled import chains_of
from evenflow.torch.inputs import Call
from evenflow.torch.weights import input_moments, parameter_moments

from ..tracing import traced
from .laws import white
from .monte_carlo import assert_within, network_errors

WIDTH, LENGTH, BATCH = 48, 6, 8


def hidden(state):
    return state[0] if isinstance(state, tuple) else state


class Loop(nn.Module):
    """The last hidden state, and all of them if ``every``."""

    def __init__(self, cell, every=False):
        super().__init__()
        self.cell, self.every = cell, every

    def forward(self, x):
        state, all_of_them = None, []
        for each in x.unbind(1):
            state = self.cell(each, state)
            all_of_them.append(hidden(state))
        return tuple(all_of_them) if self.every else hidden(state)


class Whole(nn.Module):
    """The same by a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return hidden(self.layer(x)[1])


PAIRS = {
    "LSTM": (nn.LSTMCell, nn.LSTM),
    "GRU": (nn.GRUCell, nn.GRU),
    "tanh": (nn.RNNCell, nn.RNN),
}


def sequences(length=LENGTH):
    """Each example has something of its own all along."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(BATCH, 1, WIDTH, generator=generator)
    return 0.8 * own + 0.6 * torch.randn(BATCH, length, WIDTH, generator=generator)


def derived(model, x):
    trace, parameters = traced(model, x)
    call = Call((x,), {})
    weights = parameter_moments(trace.graph, parameters)
    said = propagate(trace.graph, weights, input_moments(trace.graph, call))
    assert not said.obstacles_forward
    assert not said.obstacles_backward
    return said


@pytest.mark.parametrize("name", PAIRS)
def test_a_loop_of_cells_is_the_layer(name, monkeypatch):
    """Backwards each is integrated over units of its own, of which there must be many."""
    monkeypatch.setattr(through_time, "UNITS", 2**16)
    torch.manual_seed(0)
    cell, layer = PAIRS[name][0](WIDTH, WIDTH), PAIRS[name][1](WIDTH, WIDTH, batch_first=True)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter *= 2
    for key, value in cell.state_dict().items():
        layer.state_dict()[f"{key}_l0"].copy_(value)
    x = sequences()
    loop, whole = derived(Loop(cell), x), derived(Whole(layer), x)
    ours, theirs = (said.forward[said.graph.outputs[0]] for said in (loop, whole))
    assert ours.second == pytest.approx(theirs.second, rel=0.01)
    assert ours.shared_examples == pytest.approx(theirs.shared_examples, abs=0.01 * ours.second)
    for key in cell.state_dict():
        ours, theirs = loop.backward[f"cell.{key}"], whole.backward[f"layer.{key}_l0"]
        assert ours.second == pytest.approx(theirs.second, rel=0.04), key
    ours, theirs = (said.backward[next(iter(said.graph.inputs))] for said in (loop, whole))
    assert ours.second == pytest.approx(theirs.second, rel=0.04)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("every", [False, True])
def test_a_real_loop(name, every):
    model = Loop(PAIRS[name][0](WIDTH, WIDTH))
    if every:
        model = nn.Sequential(Loop(PAIRS[name][0](WIDTH, WIDTH), every), Headed())
    found = network_errors(model, white((16, LENGTH, WIDTH), 1.0), draws=16)
    assert_within(found, forward=(0.01, 0.03), backward=(0.02, 0.06))


class Headed(nn.Module):
    """A head that reads the hidden state of every moment."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 32) for _ in range(LENGTH))

    def forward(self, states):
        return torch.cat([head(h) for head, h in zip(self.heads, states, strict=True)], 1)


class Two(nn.Module):
    """Cells that read the hidden states of other cells, in one loop."""

    def __init__(self):
        super().__init__()
        self.lower, self.upper = nn.LSTMCell(WIDTH, WIDTH), nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x):
        state = upper = None
        for each in x.unbind(1):
            state = self.lower(each, state)
            upper = self.upper(state[0], upper)
        return upper


def test_cells_upon_cells():
    found = network_errors(Two(), white((16, LENGTH, WIDTH), 1.0), draws=16)
    assert_within(found, forward=(0.01, 0.03), backward=(0.02, 0.06))


class FedBack(nn.Module):
    """Each moment reads what the one before has made."""

    def __init__(self):
        super().__init__()
        self.cell, self.map = nn.GRUCell(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        state = self.cell(x)
        for _ in range(3):
            state = self.cell(self.map(state), state)
        return state


class Peeking(nn.Module):
    """A cell whose inner state something else reads too is the last of its chain."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, x):
        first = self.cell(x)
        second = self.cell(x, first)
        third = self.cell(x, second)
        return self.cell(x, third)[0] + torch.tanh(second[1])


class Forked(nn.Module):
    """Two cells go on from one state."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x):
        state = self.cell(x, self.cell(x))
        return self.cell(x, state) + self.cell(-x, state)


def lengths(model, x):
    return [len(chain.cells) for chain in chains_of(traced(model, x)[0].graph)]


def test_what_is_a_chain():
    x = torch.randn(BATCH, WIDTH)
    assert lengths(FedBack(), x) == []
    assert lengths(Peeking(), x) == [2, 2]
    assert lengths(Forked(), x) == [2]
    assert lengths(Loop(nn.GRUCell(WIDTH, WIDTH)), sequences(130)) == [64, 64, 2]


@pytest.mark.parametrize("model", [FedBack(), Peeking(), Forked()], ids=lambda m: type(m).__name__)
def test_cells_that_are_no_chain_are_derived_alone(model):
    said = derived(model, torch.randn(BATCH, WIDTH))
    assert set(model.state_dict()) <= set(said.backward)


def test_inputs_of_one_tensor_are_alike_by_distance():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(WIDTH, WIDTH)

        def forward(self, x, y):
            return self.cell(x[:, 2], self.cell(y, self.cell(x[:, 0])))

    graph = traced(Reading(), torch.zeros(4, 3, WIDTH), torch.zeros(4, WIDTH))[0].graph
    (chain,) = chains_of(graph)
    pairs = np.array([[[2.0, 0.5], [0.9, 0.5], [0.7, 0.5]], [[0.4, 0.5], [0.3, 0.5], [0.2, 0.5]]])
    x = Moments.independent(0.5, 2.0, (4, 3, WIDTH), ("examples", "positions", "units"))
    x = Moments(0.5, pairs, x.axes)
    y = Moments.independent(0.1, 1.0, (4, WIDTH), ("examples", "units"))
    part = Moments(0.5, pairs[:, 0], y.axes)
    first, other, last = chain.inputs
    known = dict(zip(graph.inputs, (x, y), strict=True)) | {first: part, last: part.scaled(2.0)}
    expected = [
        [[2.0, 0.05, 1.4], [0.05, 1.0, 0.1], [1.4, 0.1, 8.0]],
        [[0.4, 0.05, 0.4], [0.05, 0.01, 0.1], [0.4, 0.1, 1.6]],
    ]
    assert other == list(graph.inputs)[1]
    np.testing.assert_allclose(covariance(graph, known, chain.inputs, Alike()), expected)


def test_gradients_of_states_have_their_closed_form():
    """Near zero tanh is linear: what arrives at the last moment goes back by H·v each moment."""
    layer = Layer(CELLS["rnn_tanh"], 100, 0.008, 0.0, 0.0, 0.0)
    course = run(layer, 1e-8 * np.stack([np.eye(5), np.zeros((5, 5))]), np.zeros((1, 2)))
    arriving = np.zeros((2, 5, 5))
    arriving[:, 4, 4] = 1.0, 0.25
    back = run_back(layer, course, arriving, np.zeros((1, 2)))
    expected = 0.8 ** np.arange(4, -1, -1)
    np.testing.assert_allclose(back.states[0, 0], expected, rtol=0.06)
    np.testing.assert_allclose(back.states[0, 1], 0.25 * expected, atol=0.06)
