"""``ef.watch``: record what happens in a training, and leave the training as it is."""

from __future__ import annotations

import functools
import os
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch import nn

from evenflow._version import __version__
from evenflow.errors import EvenflowError, InputError
from evenflow.record.run import Run
from evenflow.record.run_reader import read
from evenflow.record.run_writer import RunWriter
from evenflow.torch.names import unwrap
from evenflow.torch.watch.hooks import LayerHooks
from evenflow.torch.watch.layers import layers_of, weights_of
from evenflow.torch.watch.optimiser import OptimiserReader, plain
from evenflow.torch.watch.ranks import Ranks
from evenflow.torch.watch.recorder import Recorder, losses

Optimiser = torch.optim.Optimizer

_watched: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class WatchWarning(UserWarning):
    """The watch could not do all that it was asked; the training is not affected."""


def watch(
    model: nn.Module,
    *,
    optimizer: Optimiser | Iterable[Optimiser] | None = None,
    every: int = 10,
    out: str | os.PathLike[str] = "run",
    scaler: torch.amp.GradScaler | None = None,
) -> Watch:
    """Watch a training of ``model``: a context manager around its loop.

    ::

        with ef.watch(model, optimizer=optimizer, out="run/") as w:
            for x, y in batches:
                loss = loss_of(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                w.step(loss=loss)

    Every ``every``-th step is sampled: activations and their gradients of every layer, gradients
    of every weight and what the optimiser made of them, read from a sample of each tensor's
    elements and written to the folder ``out``, which ``evenflow report out`` makes a page of. The
    training's own numbers stay the same, bit for bit. ``optimizer`` is one optimiser or several;
    without it there are no update-to-weight ratios. ``scaler`` is the GradScaler of a training in
    mixed precision, so that gradients are recorded unscaled.

    Whatever fails later on, a full disk for one, ends the watch with one warning and never the
    training. Raises ``InputError`` for arguments that are of the wrong kind.
    """
    return Watch(model, optimizer, every, out, scaler)


class Watch:
    """A watched training; made by ``ef.watch``, and used in a ``with`` statement."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimiser | Iterable[Optimiser] | None,
        every: int,
        out: str | os.PathLike[str],
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        self._model = unwrap(model)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"every must be a whole number of steps from 1, not {every!r}")
        self._optimisers = _optimisers(optimizer)
        self._every, self._scaler = every, scaler
        self.folder = os.fspath(out)
        self._step = 0
        self._losses: list[float | torch.Tensor] = []
        self._armed = False
        self._active = False
        self._said: set[str] = set()
        self._handles: list[Any] = []

    def __enter__(self) -> Watch:
        try:
            self._open()
        except EvenflowError as error:
            self._step_aside(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._active:
            if self._step == 0 and kind is None:
                self._say("no step was recorded: call w.step(loss=loss) once in each step")
            self._close(error)

    def step(self, loss: torch.Tensor | float | None = None) -> None:
        """Say that a step of the training is over: after the optimiser's own step, once each.

        ``loss`` is the step's loss, a number or a tensor with one element.
        """
        if self._active:
            self._guarded(self._stepped)(loss)

    def run(self) -> Run:
        """The run as recorded so far."""
        return read(self.folder)

    def _open(self) -> None:
        if self._model in _watched:
            raise InputError(
                "this model is being watched already", remedy="leave the other watch first"
            )
        ranks = Ranks()
        weights = weights_of(self._model)
        optimised = {
            id(p) for o in self._optimisers for group in o.param_groups for p in group["params"]
        }
        self._writer = RunWriter(self.folder, self._meta()) if ranks.first else None
        if self._writer is not None:
            for weight in weights:
                known = not self._optimisers or id(weight.parameter) in optimised
                self._writer.add_weight(weight.number, weight.described(known))
        self._recorder = Recorder(self._writer, weights, ranks)
        self._reader = OptimiserReader(weights, self._recorder.gradients, self._recorder.transfers)
        self._hooks = LayerHooks(
            layers_of(self._model),
            self._recorder.forward,
            self._recorder.backward,
            self._recorder.appeared,
            self._guarded,
        )
        self._notes = ranks.count == 1 and all(plain(w.parameter) for w in weights)
        for optimiser in self._optimisers:
            before = self._guarded(self._before_update)
            after = self._guarded(self._after_update)
            self._handles.append(optimiser.register_step_pre_hook(before))
            self._handles.append(optimiser.register_step_post_hook(after))
        _watched.add(self._model)
        self._active = True
        self._arm()

    def _meta(self) -> dict[str, str]:
        versions = f'{{"evenflow": "{__version__}", "torch": "{torch.__version__}"}}'
        return {
            "model": type(self._model).__name__,
            "every": str(self._every),
            "optimiser": ", ".join(type(o).__name__ for o in self._optimisers),
            "versions": versions,
        }

    def _arm(self) -> None:
        self._recorder.clear()
        self._hooks.arm()
        self._reader.arm(note=self._notes)
        self._armed = True

    def _stepped(self, loss: torch.Tensor | float | None) -> None:
        if loss is not None:
            self._losses.append(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        if self._armed:
            self._armed = False
            self._record()
        self._step += 1
        if self._step % self._every == 0:
            self._arm()

    def _record(self) -> None:
        self._hooks.disarm()
        if not self._reader.saw_gradients():
            parameters = list(self._model.parameters())
            self._reader.before(parameters)
            if self._optimisers and self._reader.saw_gradients():
                self._say("the optimiser had not made its step: call w.step() after it")
        self._reader.disarm()
        scale = self._scaler.get_scale() if self._scaler is not None else 1.0
        before, after = self._reader.norms(scale)
        scalars = losses(self._losses)
        self._losses.clear()
        scalars |= {"norm_before": before, "norm_after": after}
        if self._optimisers:
            scalars["learning_rate"] = float(self._optimisers[0].param_groups[0]["lr"])
        self._recorder.record(self._step, scalars, scale)
        if not self._hooks.gradients and not self._reader.saw_gradients():
            self._say("no backward pass was seen: only activations are recorded")

    def _before_update(self, optimiser: Optimiser, *_: Any) -> None:
        if self._armed:
            self._reader.before(p for group in optimiser.param_groups for p in group["params"])

    def _after_update(self, optimiser: Optimiser, *_: Any) -> None:
        if self._armed:
            self._reader.after(p for group in optimiser.param_groups for p in group["params"])

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        """``hook``, whose failures end the watch and not the training."""

        @functools.wraps(hook, assigned=("__doc__",))
        def safe(*args: Any, **kwargs: Any) -> None:
            if not self._active:
                return
            try:
                hook(*args, **kwargs)
            except Exception as error:
                self._step_aside(error)

        return safe

    def _close(self, error: BaseException | None) -> None:
        self._release()
        if self._writer is None:
            return
        try:
            said = f"{type(error).__name__}: {error}" if error is not None else ""
            self._recorder.happened(self._step, "end", "", said)
            finished = "yes" if error is None else "no"
            self._writer.tell({"total_steps": str(self._step), "finished": finished})
            self._writer.close()
        except EvenflowError as failure:
            self._step_aside(failure)

    def _release(self) -> None:
        """Take every hook off the model and the optimisers."""
        self._active = self._armed = False
        self._hooks.disarm()
        self._reader.disarm()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        _watched.discard(self._model)

    def _step_aside(self, error: Exception) -> None:
        if self._active:
            self._release()
        what = (
            str(error) if isinstance(error, EvenflowError) else f"{type(error).__name__}: {error}"
        )
        self._say(f"the training goes on without being watched: {what}")

    def _say(self, words: str) -> None:
        """Warn once of each thing."""
        if words not in self._said:
            self._said.add(words)
            warnings.warn(f"ef.watch: {words}", WatchWarning, stacklevel=3)


def _optimisers(given: Optimiser | Iterable[Optimiser] | None) -> tuple[Optimiser, ...]:
    found = () if given is None else (given,) if isinstance(given, Optimiser) else tuple(given)
    for optimiser in found:
        if not isinstance(optimiser, Optimiser):
            raise InputError(
                f"an optimizer must be a torch.optim.Optimizer, not {type(optimiser).__name__}"
            )
    return found
