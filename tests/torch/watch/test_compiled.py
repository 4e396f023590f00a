"""A compiled model is watched without a graph break and without being compiled again."""

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import nn
from torch._dynamo.testing import CompileCounter

import evenflow as ef


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def train(model, run, out=None, steps=6):
    torch.manual_seed(1)
    x, y = torch.randn(16, 5), torch.randn(16, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        loss = nn.functional.mse_loss(run(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    if out is None:
        for _ in range(steps):
            step()
        return None
    with ef.watch(run, optimizer=optimizer, every=3, out=out) as w:
        for _ in range(steps):
            w.step(loss=step())
    return w.run()


def test_graphs_are_neither_broken_nor_compiled_again(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    run = train(model, compiled, tmp_path)
    assert counter.frame_count == 1
    assert run.steps.tolist() == [0, 3]
    assert np.isfinite(run.backward["second_moment"][:, [1, 3]]).all()
    (event,) = run.happened("compiled")
    assert "eager" in event.detail
    breaks = torch._dynamo.explain(model)(torch.randn(16, 5))
    assert breaks.graph_break_count == 0


def test_a_compiled_training_keeps_its_weights(tmp_path):
    weights = []
    for out in (None, tmp_path):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
        model.compile(backend="eager")
        train(model, model, out)
        weights.append([p.detach().clone() for p in model.parameters()])
    for a, b in zip(*weights, strict=True):
        assert torch.equal(a, b)
