"""Other ways to look into a training, each used as its own documentation says.

Each is a context manager around a training loop and gives a ``Loop``: what the loop has to call.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


def _nothing(*_: Any) -> None:
    """What a plain loop does besides training."""


def _inside(*_: Any) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


@dataclass
class Loop:
    """What a loop calls: after each step, for its loss, and around its backward pass."""

    step: Callable[[torch.Tensor], Any] = _nothing
    criterion: Callable[..., torch.Tensor] = nn.functional.cross_entropy
    around: Callable[..., contextlib.AbstractContextManager[Any]] = _inside


@contextlib.contextmanager
def naive(model, _optimizer):
    """What one writes in five minutes: a hook on each layer, an .item() for each number."""
    told = {}

    def forward(module, _args, output):
        told[module, "f"] = (output.mean().item(), output.std().item(), output.abs().max().item())

        def gradient(g):
            told[module, "b"] = (g.mean().item(), g.std().item(), g.abs().max().item())

        output.register_hook(gradient)

    leaves = [m for m in model.modules() if not list(m.children())]
    handles = [m.register_forward_hook(forward) for m in leaves]

    def step(_loss):
        for name, p in model.named_parameters():
            told[name] = (p.grad.std().item(), torch.histc(p.grad, 32))

    yield Loop(step)
    for handle in handles:
        handle.remove()


@contextlib.contextmanager
def anomaly(_model, _optimizer):
    with warnings.catch_warnings(), torch.autograd.detect_anomaly(check_nan=True):
        warnings.simplefilter("ignore")
        yield Loop()


@contextlib.contextmanager
def tensorboard(model, _optimizer):
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        writer, numbers = SummaryWriter(folder), itertools.count()

        def step(loss):
            k = next(numbers)
            for name, p in model.named_parameters():
                writer.add_histogram(name, p, k)
                writer.add_histogram(f"{name}.grad", p.grad, k)
            writer.add_scalar("loss", loss.item(), k)

        yield Loop(step)
        writer.close()


@contextlib.contextmanager
def wandb_watch(model, _optimizer):
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
        run.watch(model, log="all", log_freq=1)
        yield Loop(lambda loss: run.log({"loss": loss.item()}))
        run.finish()


@contextlib.contextmanager
def delve(model, _optimizer):
    from delve import SaturationTracker

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        tracker = SaturationTracker(folder, save_to="csv", modules=model, device="cpu")

        def step(loss):
            tracker.add_scalar("loss", loss.item())
            tracker.add_saturations()

        yield Loop(step)
        tracker.close()


@contextlib.contextmanager
def cockpit(model, optimizer):
    from backpack import extend
    from cockpit import Cockpit
    from cockpit.utils.configuration import configuration

    extend(model)
    mean, single = extend(nn.CrossEntropyLoss()), nn.CrossEntropyLoss(reduction="none")
    instruments = Cockpit(model.parameters(), quantities=configuration("economy"))
    numbers = itertools.count()

    def around(output, target, loss):
        told = {
            "batch_size": len(target),
            "individual_losses": single(output, target),
            "loss": loss,
            "optimizer": optimizer,
        }
        return instruments(next(numbers), info=told)

    yield Loop(criterion=mean, around=around)


@contextlib.contextmanager
def torchmortem(model, optimizer):
    from torchmortem import Autopsy

    with Autopsy(model, optimizer=optimizer) as autopsy:
        yield Loop(lambda loss: autopsy.step(loss=loss.item()))


@contextlib.contextmanager
def torch_audit(model, optimizer):
    from torch_audit import autopatch

    auditor = autopatch(
        model, optimizer=optimizer, every_n_steps=1, reporters=[], fail_level="FATAL"
    )
    try:
        yield Loop()
    finally:
        auditor.finish(report=False)
        auditor.unpatch()


PEERS = {
    "hooks with .item()": naive,
    "detect_anomaly": anomaly,
    "TensorBoard histograms, each step": tensorboard,
    "wandb.watch(log='all'), each step": wandb_watch,
    "delve, each step": delve,
    "cockpit economy, each step": cockpit,
    "torchmortem, as it comes": torchmortem,
    "torch-audit, each step": torch_audit,
}
NEEDS = {
    "TensorBoard histograms, each step": "tensorboard",
    "wandb.watch(log='all'), each step": "wandb",
    "delve, each step": "delve",
    "cockpit economy, each step": "cockpit",
    "torchmortem, as it comes": "torchmortem",
    "torch-audit, each step": "torch_audit",
}
"""Modules that a way needs; none of them is a dependency of evenflow."""
