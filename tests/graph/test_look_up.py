"""Rows of a table by index: against the moments of real look-ups, forwards and backwards."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.graph.moments import Moments
from evenflow.graph.numbers.measured import measured
from evenflow.graph.propagate import propagate
from evenflow.graph.rules.embedding import looked_up, looked_up_back

from ..tracing import graph_of

ROWS, WIDTH = 40, 24
INDICES = {
    "tokens": np.random.default_rng(1).integers(0, 12, (5, 9)),
    "positions": np.broadcast_to(np.arange(9), (5, 9)),
    "relative": np.abs(np.subtract.outer(np.arange(9), np.arange(9))),
    "one place": np.array([[3]]),
}


@pytest.mark.parametrize("name", INDICES)
def test_places_with_the_same_index_are_the_same(name):
    indices = INDICES[name]
    generator = np.random.default_rng(0)
    cotangent = generator.normal(size=(*indices.shape, WIDTH)) + 0.5
    pairs, gradients = [], []
    for _ in range(40):
        table = 0.3 + generator.normal(size=(ROWS, WIDTH))
        pairs.append(measured(table[indices]).pairs)
        gradient = np.zeros_like(table)
        np.add.at(gradient, indices, cotangent)
        gradients.append(measured(gradient).pairs)
    known = Moments.independent(0.3, 1.09, (ROWS, WIDTH))
    found = looked_up(known, indices.shape, indices)
    assert found.shape == (*indices.shape, WIDTH)
    told = np.broadcast_to(found.pairs, np.mean(pairs, axis=0).shape)
    np.testing.assert_allclose(told, np.mean(pairs, axis=0), atol=0.06)
    back = looked_up_back(known, measured(cotangent), indices.shape, indices)
    assert back.shape == (ROWS, WIDTH)
    assert back.second == pytest.approx(np.mean(gradients, axis=0).flat[0], rel=0.15)


def test_unknown_indices_count_as_distinct():
    table = Moments.independent(0.0, 2.0, (ROWS, WIDTH))
    distinct = looked_up(table, (5, 9), np.arange(45).reshape(5, 9))
    np.testing.assert_allclose(looked_up(table, (5, 9)).pairs, distinct.pairs, atol=1e-12)


class Indexed(nn.Module):
    def __init__(self, indices):
        super().__init__()
        self.table = nn.Parameter(torch.randn(ROWS, WIDTH))
        self.register_buffer("indices", torch.tensor(indices))

    def forward(self, x):
        return x + self.table[self.indices.view(-1)].view(*self.indices.shape, WIDTH)


def test_an_index_along_the_first_axis_looks_up():
    graph = graph_of(Indexed(INDICES["relative"]), torch.randn(9, 9, WIDTH))
    found = propagate(graph, {"table": Moments.independent(0.0, 2.0, (ROWS, WIDTH))})
    assert not found.obstacles_forward
    assert found.backward["table"].second == pytest.approx(81 / ROWS)


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(ROWS, WIDTH)

    def forward(self, tokens):
        return F.relu(self.table(tokens))


def test_tokens_that_were_passed_are_known():
    graph = graph_of(Sentences(), torch.zeros(4, 6, dtype=torch.long))
    known = {"table.weight": Moments.independent(0.0, 1.0, (ROWS, WIDTH))}
    found = propagate(graph, known).forward[graph.outputs[0]]
    assert found.shared_positions == pytest.approx(found.second)
