"""Sinks and callbacks, against the trackers' own interfaces played by hand."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError
from evenflow.integrations.mlflow import MlflowSink
from evenflow.integrations.tensorboard import TensorBoardSink
from evenflow.integrations.wandb import WandbSink
from evenflow.record.run_reader import read


class Recorded:
    """Notes every call of any method."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def named(self, name):
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


def train(sink, out, steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ef.watch(model, optimizer=optimizer, every=1, out=out, sinks=[sink]) as w:
        for _ in range(steps):
            loss = model(torch.randn(16, 4)).square().mean()
            loss.backward()
            optimizer.step()
            w.step(loss=loss)
    return w.run()


def test_tensorboard_is_told_a_few_scalars(tmp_path):
    writer = Recorded()
    run = train(TensorBoardSink(writer), tmp_path)
    told = [args for args, _ in writer.named("add_scalar")]
    assert {step for _, _, step in told} == {0, 1, 2}
    losses = [value for name, value, _ in told if name == "evenflow/loss"]
    assert losses == pytest.approx(run.loss.tolist())
    assert {"evenflow/most_dead", "evenflow/greatest_update_ratio"} <= {n for n, _, _ in told}
    assert writer.named("add_histogram_raw") == []


def test_tensorboard_gets_histograms_on_request(tmp_path):
    writer = Recorded()
    train(TensorBoardSink(writer, histograms=True), tmp_path, steps=1)
    told = [kwargs for _, kwargs in writer.named("add_histogram_raw")]
    assert len(told) == 4  # the input and three layers
    for one in told:
        assert sum(one["bucket_counts"]) == one["num"]
        assert len(one["bucket_limits"]) == len(one["bucket_counts"])


def test_tensorboard_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="TensorBoard is not installed"):
        TensorBoardSink(tmp_path)


def test_wandb_is_told_beside_the_users_own_step(tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "wandb", types.SimpleNamespace(Histogram=lambda np_histogram: np_histogram)
    )
    run = Recorded()
    train(WandbSink(run, histograms=True), tmp_path, steps=2)
    logged = [(args[0], kwargs) for args, kwargs in run.named("log")]
    assert all(kwargs == {"commit": False} for _, kwargs in logged)
    assert {values["evenflow/step"] for values, _ in logged} == {0, 1}
    pictures = [v["evenflow/0"] for v, _ in logged if "evenflow/0" in v]
    assert all(len(edges) == len(counts) + 1 for counts, edges in pictures)


def test_mlflow_is_told_metrics_and_ends_of_the_bulk(tmp_path):
    module = Recorded()
    train(MlflowSink(module, histograms=True), tmp_path, steps=1)
    logged = [(args[0], kwargs["step"]) for args, kwargs in module.named("log_metrics")]
    assert logged[0][0]["evenflow/loss"] > 0
    ends = next(values for values, _ in logged if "evenflow/0/p2" in values)
    assert ends["evenflow/0/p2"] < ends["evenflow/0/p98"]


def test_a_failing_sink_ends_the_watch_alone(tmp_path):
    class Broken:
        histograms = False

        def scalars(self, step, values):
            raise OSError("the tracker is away")

    with pytest.warns(ef.torch.watch.WatchWarning, match="the tracker is away"):
        train(Broken(), tmp_path)


def test_lightning_is_followed_from_start_to_end(tmp_path, monkeypatch):
    package, pytorch = types.ModuleType("lightning"), types.ModuleType("lightning.pytorch")
    pytorch.Callback = object
    monkeypatch.setitem(sys.modules, "lightning", package)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", pytorch)
    monkeypatch.delitem(sys.modules, "evenflow.integrations.lightning", raising=False)
    from evenflow.integrations.lightning import WatchCallback

    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = types.SimpleNamespace(optimizers=[optimizer], precision_plugin=object())
    callback = WatchCallback(every=1, out=tmp_path)
    callback.on_train_start(trainer, model)
    for _ in range(3):
        loss = model(torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        callback.on_train_batch_end(trainer, model, {"loss": loss.detach()}, None, 0)
    callback.on_train_end(trainer, model)
    run = read(tmp_path)
    assert run.finished
    assert run.steps.tolist() == [0, 1, 2]
    assert np.isfinite(run.loss).all()
    monkeypatch.delitem(sys.modules, "evenflow.integrations.lightning")


def test_the_trainer_of_transformers_is_followed(tmp_path):
    from transformers import TrainerControl, TrainerState

    from evenflow.integrations.trainer import WatchCallback

    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callback, state, control = (
        WatchCallback(every=1, out=tmp_path),
        TrainerState(),
        TrainerControl(),
    )
    callback.on_train_begin(None, state, control, model=model, optimizer=optimizer)
    for step in range(4):
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        callback.on_step_end(None, state, control)
        if step == 1:
            callback.on_log(None, state, control, logs={"loss": 0.5})
    callback.on_train_end(None, state, control)
    run = read(tmp_path)
    assert run.finished
    assert run.steps.tolist() == [0, 1, 2, 3]
    assert run.loss[2] == 0.5
