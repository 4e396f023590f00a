"""ef.watch around an ordinary loop: what it records, and that the training never notices."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
    )


def train(model, steps=12, *, out=None, every=1, make=torch.optim.Adam, rate=1e-2):
    """Train on fixed random data; the run where it was watched."""
    torch.manual_seed(1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    optimizer = make(model.parameters(), lr=rate)
    watched = out is not None
    with (
        ef.watch(model, optimizer=optimizer, every=every, out=out)
        if watched
        else contextlib.nullcontext()
    ) as w:
        for _ in range(steps):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if w:
                w.step(loss=loss)
    return w.run() if w else None


def test_a_run_holds_what_was_trained(tmp_path):
    model = network()
    run = train(model, 12, out=tmp_path / "run", every=5)
    assert run.steps.tolist() == [0, 5, 10]
    assert [layer.op for layer in run.layers] == ["Linear", "Tanh", "Linear", "ReLU", "Linear"]
    assert [weight.name for weight in run.weights] == [n for n, _ in model.named_parameters()]
    assert run.total_steps == 12
    assert run.finished
    assert run.optimiser == "Adam"
    assert np.isfinite(run.loss).all()
    assert np.isfinite(run.forward["second_moment"]).all()
    assert np.isfinite(run.backward["second_moment"]).all()
    assert (run.gradients["update_ratio"] > 0).all()
    assert run.learning_rate.tolist() == [1e-2] * 3


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_the_training_is_the_same_bit_for_bit(tmp_path, make):
    plain, watched = network(), network()
    train(plain, make=make)
    train(watched, make=make, out=tmp_path)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
