"""What goes wrong: NaN and where it began, and everything that makes the watch step aside."""

import math
import os
import sqlite3
import warnings
from contextlib import nullcontext

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError
from evenflow.record import run_writer
from evenflow.record.run_reader import read
from evenflow.torch.watch import WatchWarning


class Root(nn.Module):
    """Takes a root of what may be negative."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.sqrt(self.body(x).square() - self.floor))

    floor = 0.0


def loop(model, out, steps=5, before=None, **given):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(3)
    with ef.watch(model, optimizer=optimizer, out=out, **given) as w:
        for i in range(steps):
            x = torch.randn(8, 4)
            if before is not None:
                before(i, x)
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            w.step(loss=loss)
    return w


def nan_at(i, x):
    if i == 3:
        Root.floor = 100.0


def test_the_operation_that_made_a_nan_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Root, "floor", 0.0)
    w = loop(Root(), tmp_path, before=nan_at, every=10)  # at a step that is not sampled
    first, second = w.run().happened("nonfinite")
    assert (first.step, first.place) == (3, "")
    assert first.detail.startswith("sqrt makes 100 %")
    assert (second.step, second.place) == (3, "loss")
    found = {finding.code: finding for finding in w.findings().findings}
    assert "sqrt" in found["EF801"].measured


def test_a_nan_in_the_input_is_named(tmp_path):
    def spoil(i, x):
        if i == 2:
            x[0, 0] = math.nan

    w = loop(nn.Sequential(nn.Linear(4, 2)), tmp_path, before=spoil, every=2)
    assert w.run().happened("nonfinite")[0].place == "(input)"


def test_a_nan_in_the_backward_pass_is_named(tmp_path):
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return torch.sqrt(self.body(x * 0).square())  # its slope is infinite at 0

    w = loop(Norm(), tmp_path, every=2)
    event = w.run().happened("nonfinite")[0]
    assert event.place == "body.weight"
    assert "gradient" in event.detail


def test_an_autopsy_leaves_the_training_as_it_was(tmp_path):
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        x = torch.randn(8, 4)
        x[0] = math.inf
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with ef.watch(model, optimizer=optimizer, out=tmp_path) if watched else nullcontext() as w:
            model(x).sum().backward()
            optimizer.step()
            if watched:
                w.step()
        states.append((model.state_dict(), torch.rand(3)))
    (a, random), (b, other) = states
    assert torch.equal(random, other)
    for name in a:
        assert torch.equal(a[name].nan_to_num(7), b[name].nan_to_num(7)), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"every": 0}, "whole number of steps"),
        ({"every": True}, "whole number of steps"),
        ({"optimizer": "adam"}, "torch.optim.Optimizer"),
        ({"optimizer": [1]}, "torch.optim.Optimizer"),
    ],
)
def test_wrong_arguments_are_refused_at_once(tmp_path, given, said):
    with pytest.raises(InputError, match=said):
        ef.watch(nn.Linear(1, 1), out=tmp_path, **given)


def test_a_class_is_no_model(tmp_path):
    with pytest.raises(InputError, match="a model must be"):
        ef.watch(nn.Linear, out=tmp_path)


def test_a_loop_without_step_is_told(tmp_path):
    w = ef.watch(nn.Linear(1, 1), out=tmp_path).__enter__()
    with pytest.warns(WatchWarning, match="call w.step"):
        w.__exit__(None, None, None)


def test_a_model_that_never_runs_backward_is_told(tmp_path):
    model = nn.Linear(2, 2)
    with ef.watch(model, every=1, out=tmp_path) as w:
        model(torch.randn(4, 2))
        with pytest.warns(WatchWarning, match="no backward pass"):
            w.step()
        model(torch.randn(4, 2))
        w.step()  # told once
    assert len(w.run().steps) == 2


def test_a_step_before_the_optimisers_is_told(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ef.watch(model, optimizer=optimizer, every=1, out=tmp_path) as w:
        model(torch.randn(4, 2)).sum().backward()
        with pytest.warns(WatchWarning, match="call w.step.. after it"):
            w.step()
        optimizer.step()


def test_the_second_watch_on_a_model_steps_aside(tmp_path):
    model = nn.Linear(2, 2)
    with ef.watch(model, every=1, out=tmp_path / "a") as first:
        second = ef.watch(model, every=1, out=tmp_path / "b")
        with pytest.warns(WatchWarning, match="watched already"):
            second.__enter__()
        with second:  # it stays aside
            model(torch.randn(4, 2)).sum().backward()
            first.step(1.0)
            second.step(1.0)
    assert len(first.run().steps) == 1
    assert not (tmp_path / "b").exists()


def test_a_folder_that_cannot_be_written_ends_the_watch_alone(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.warns(WatchWarning, match="without being watched.*file") as told:
        w = loop(nn.Linear(4, 2), place)
    assert len(told) == 1
    assert w._step == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_ends_the_watch_alone(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.warns(WatchWarning, match="without being watched"):
        loop(nn.Linear(4, 2), tmp_path / "run")


def test_a_full_disk_ends_the_watch_alone(tmp_path, monkeypatch):
    model = nn.Linear(4, 2)
    plain = run_writer.RunWriter.__init__

    def small(self, folder, meta):
        plain(self, folder, meta)
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        self._connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's "disk is full"

    monkeypatch.setattr(run_writer.RunWriter, "__init__", small)
    with pytest.warns(WatchWarning, match=r"(?s)without being watched.*full") as told:
        w = loop(model, tmp_path, 40, every=1)
    assert len(told) == 1
    assert not model._forward_hooks
    assert len(w.run().steps) < 40


@pytest.mark.parametrize("content", ["", "no database", "sqlite"])
def test_a_file_that_is_no_run_is_left_alone(tmp_path, content):
    file = tmp_path / "run.sqlite"
    if content == "sqlite":
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE t (x)")
    else:
        file.write_text(content)
    before = file.read_bytes()
    with pytest.warns(WatchWarning, match="no run of evenflow"):
        loop(nn.Linear(4, 2), tmp_path)
    assert file.read_bytes() == before
    with pytest.raises(InputError, match="no run of evenflow"):
        read(tmp_path)


def test_a_run_of_another_version_is_refused(tmp_path):
    loop(nn.Linear(4, 2), tmp_path)
    with sqlite3.connect(tmp_path / "run.sqlite") as run:
        run.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="schema version 99"):
        read(tmp_path)
    with pytest.warns(WatchWarning, match="schema version 99"):
        loop(nn.Linear(4, 2), tmp_path)


def test_a_failing_hook_never_reaches_the_training(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("evenflow.torch.watch.meter.signal_at", fail)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    with pytest.warns(WatchWarning, match="a fault of ours") as told:
        loop(model, tmp_path)
    assert len(told) == 1
    assert all(not module._forward_hooks for module in model.modules())


def test_an_error_of_the_training_is_its_own(tmp_path):
    model = nn.Linear(4, 2)
    with pytest.raises(RuntimeError, match="shapes"), ef.watch(model, out=tmp_path) as w:
        model(torch.randn(3, 7))
    run = w.run()
    assert not run.finished
    assert "RuntimeError" in run.happened("interrupted")[0].detail
    assert torch.overrides._get_current_function_mode() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(torch.randn(3, 4))
