"""w.suggest: changes are tried on copies, what helps is recommended, nothing else is touched."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError


def batches(count=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 10, generator=generator) * 2
    for _ in range(count):
        y = torch.randint(0, 4, (32,), generator=generator)
        yield centres[y] + torch.randn(32, 10, generator=generator), y


def trained(model, out, *, rate=0.1, steps=40, criterion=nn.functional.cross_entropy):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5)
    w = ef.watch(model, optimizer=optimizer, every=1, out=out)
    with w:
        for x, y in batches(steps):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            w.step(loss=loss)
    return w, optimizer


def network(*end: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4), *end)


def test_a_lower_rate_is_tried_where_it_was_too_high(tmp_path):
    w, _ = trained(network(), tmp_path, rate=20.0)
    suggestion = w.suggest(list(batches()), "cross_entropy", steps=40)
    assert suggestion.finding.code in {"EF701", "EF802", "EF803"}
    best = suggestion.recommended
    assert best is not None
    assert best.curve.final_loss < 0.5 < suggestion.before.final_loss
    assert best.change in str(suggestion)
    assert best.patch in str(suggestion)


def test_weights_drawn_anew_come_as_a_plan(tmp_path):
    torch.manual_seed(0)
    hidden = [part for _ in range(12) for part in (nn.Linear(32, 32), nn.Tanh())]
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), *hidden, nn.Linear(32, 4))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
    w, _ = trained(model, tmp_path)
    suggestion = w.suggest(list(batches()), "cross_entropy", steps=60)
    plans = [attempt for attempt in suggestion.attempts if attempt.plan is not None]
    assert plans[0].helped
    plans[0].plan.apply_(model)
    assert model[0].weight.std() > 0.1


def test_a_softmax_before_cross_entropy_is_taken_out(tmp_path):
    w, _ = trained(network(nn.Softmax(dim=1)), tmp_path, rate=0.05)
    suggestion = w.suggest(list(batches()), "cross_entropy", steps=60)
    assert suggestion.finding.code == "EF705"
    assert suggestion.recommended.change == "raw outputs, without 3"


def test_where_nothing_is_found_nothing_is_tried(tmp_path):
    w, _ = trained(network(), tmp_path)
    suggestion = w.suggest(batches(), "cross_entropy")
    assert (suggestion.finding, suggestion.attempts, suggestion.recommended) == (None, (), None)
    assert "nothing was tried" in str(suggestion)


def test_everything_of_the_users_stays_as_it_is(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0, momentum=0.5)
    loader = torch.utils.data.DataLoader(
        list(zip(*map(torch.cat, zip(*batches(), strict=True)), strict=True)), 32, shuffle=True
    )
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        for x, y in batches(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            w.step(loss=loss)
        state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        gradients = [p.grad.clone() for p in model.parameters()]
        randoms = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        suggestion = w.suggest(loader, "cross_entropy", steps=10)
        assert suggestion.attempts
        assert torch.equal(torch.get_rng_state(), randoms[0])
        assert random.getstate() == randoms[1]
        assert np.random.get_state()[1].tolist() == randoms[2]  # noqa: NPY002
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            assert torch.equal(p.grad, gradient)
        now = model.state_dict(), optimizer.state_dict()
        assert all(torch.equal(state[0][k], now[0][k]) for k in now[0])
        assert str(state[1]) == str(now[1])
        model(x).square().mean().backward()  # and it is watched on
        optimizer.step()
        w.step()
    assert np.isfinite(w.run().forward["second_moment"][-1]).all()


def test_bad_input_is_told(tmp_path):
    w, _ = trained(network(), tmp_path, rate=20.0)
    with pytest.raises(InputError, match="no batch"):
        w.suggest([], "cross_entropy")
    with pytest.raises(InputError, match="no loss"):
        w.suggest(batches(), "cross")
