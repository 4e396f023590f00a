"""ef.watch around an ordinary loop: what it records, and that the training never notices."""

import contextlib
import math

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.torch.watch import WatchWarning


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
    ops = ["input", "Linear", "Tanh", "Linear", "ReLU", "Linear"]
    assert [layer.op for layer in run.layers] == ops
    assert [weight.name for weight in run.weights] == [n for n, _ in model.named_parameters()]
    assert run.total_steps == 12
    assert run.finished
    assert run.optimiser == "Adam"
    assert np.isfinite(run.loss).all()
    assert np.isfinite(run.forward["second_moment"]).all()
    weighted = [k for k, layer in enumerate(run.layers) if layer.weights]
    assert np.isfinite(run.backward["second_moment"][:, weighted]).all()
    assert (run.gradients["update_ratio"][:, ::2] > 0).all()  # matrices; biases are not read
    assert run.learning_rate.tolist() == [1e-2] * 3


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_the_training_is_the_same_bit_for_bit(tmp_path, make):
    plain, watched = network(), network()
    train(plain, make=make)
    train(watched, make=make, out=tmp_path)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


class Functional(nn.Module):
    """Activations as functions, one of them in place, twice at one place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        h = nn.functional.relu(self.first(x), inplace=True)
        return self.second(torch.relu(h.tanh()))


def test_activations_called_as_functions_are_seen(tmp_path):
    torch.manual_seed(0)
    run = train(Functional(), 3, out=tmp_path)
    assert [(layer.name, layer.activation) for layer in run.layers[1:]] == [
        ("first", ""),
        ("first → relu", "relu"),
        ("first → tanh", "tanh"),
        ("first → relu 2", "relu"),
        ("second", ""),
    ]
    assert np.isfinite(run.forward["saturated_share"][:, 3]).all()
    assert np.isfinite(run.forward["dead_share"][:, [2, 4]]).all()


def test_readings_are_those_of_the_tensors(tmp_path):
    model = network()
    torch.manual_seed(1)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = [p.detach().clone() for p in model.parameters()]
    hidden = model[0](x)
    hidden.retain_grad()
    loss = nn.functional.cross_entropy(model[1:](hidden), y)
    loss.backward()
    gradient = model[0].weight.grad.clone()
    model.zero_grad()
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        w.step(loss=loss)
    run = w.run()
    places = {layer.name: k for k, layer in enumerate(run.layers)}
    at = places["0"]
    assert run.forward["mean"][0, at] == pytest.approx(hidden.mean().item(), rel=1e-4)
    assert run.forward["second_moment"][0, at] == pytest.approx(hidden.square().mean().item())
    assert run.backward["second_moment"][0, at] == pytest.approx(hidden.grad.square().mean().item())
    assert run.gradients["second_moment"][0, 0] == pytest.approx(gradient.square().mean().item())
    now = next(model.parameters())
    ratio = ((now - before[0]).norm() / before[0].norm()).item()
    assert run.gradients["update_ratio"][0, 0] == pytest.approx(ratio, rel=1e-4)
    assert run.gradients["weight_rms"][0, 0] == pytest.approx(
        before[0].square().mean().sqrt().item()
    )
    tanh = torch.tanh(hidden)
    saturated = (1 - tanh**2 < 0.1).double().mean().item()
    assert run.forward["saturated_share"][0, places["1"]] == pytest.approx(saturated, abs=1e-6)
    assert run.forward["effective_rank"][0, at] > 1
    assert run.ending.loss == "nll_loss"


def test_the_singular_values_are_those_of_the_layers_jacobian(tmp_path):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 16), nn.Tanh()), torch.randn(4, 8)
    with ef.watch(model, every=1, out=tmp_path) as w:
        model(x).sum().backward()
        w.step()
    jacobian = torch.func.jacrev(model)(x[0]).detach().double()
    expected = torch.linalg.svdvals(jacobian).mean().item()
    assert w.run().forward["singular_value"][0, 2] == pytest.approx(expected, rel=1e-3)


def test_the_norm_before_clipping_is_known(tmp_path):
    model = network()
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told = []
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        for limit in (0.01, 100.0):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            told.append(nn.utils.clip_grad_norm_(model.parameters(), limit).item())
            optimizer.step()
            optimizer.zero_grad()
            w.step(loss=loss)
    run = w.run()
    assert run.norm_before == pytest.approx(told, rel=1e-4)
    assert run.norm_after == pytest.approx([0.01, told[1]], rel=1e-4)


def test_effective_steps_only_are_sampled_and_hooks_do_not_stay(tmp_path):
    model = network()
    train(model, 3, out=tmp_path)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(not p._post_accumulate_grad_hooks for p in model.parameters())
    assert math.isfinite(train(model, 3, out=tmp_path).loss[-1])  # and it can be watched again
    assert (tmp_path / "run.before.sqlite").is_file()


def test_the_start_is_as_it_was_derived(tmp_path):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 8)), torch.randn(256, 64)
    before = torch.get_rng_state()
    with ef.watch(model, every=1, out=tmp_path) as w:
        w.expect(x)
        model(x).sum().backward()
        w.step()
    assert torch.equal(torch.get_rng_state(), before)
    run = w.run()
    assert [layer.expected is None for layer in run.layers] == [True, False, False, False]
    for layer, measured in zip(run.layers[1:], run.forward["second_moment"][0, 1:], strict=True):
        assert layer.expected == pytest.approx(measured, rel=0.2)


def test_a_model_that_cannot_be_derived_is_watched_all_the_same(tmp_path):
    model = nn.Linear(2, 2)
    with ef.watch(model, every=1, out=tmp_path) as w:
        with pytest.warns(WatchWarning, match="cannot be derived"):
            w.expect(torch.randn(2, 3))  # of another shape than it takes
        model(torch.randn(2, 2)).sum().backward()
        w.step(1.0)
    assert len(w.run().steps) == 1
