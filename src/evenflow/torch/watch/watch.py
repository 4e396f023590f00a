"""``ef.watch``: record what happens in a training, and leave the training as it is."""

from __future__ import annotations

import json
import math
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import msgspec
import torch
from torch import nn

from evenflow._version import __version__
from evenflow.diagnose.finding import Diagnosis
from evenflow.diagnose.training import diagnose_run
from evenflow.errors import EvenflowError, InputError
from evenflow.record.run import Run
from evenflow.record.run_reader import read
from evenflow.record.run_writer import RunWriter
from evenflow.torch.losses import LossFunction
from evenflow.torch.names import unwrap
from evenflow.torch.watch.compiled import Eager, is_compiled
from evenflow.torch.watch.ending import ending_of
from evenflow.torch.watch.expected import expected_second_moments
from evenflow.torch.watch.hooks import LayerHooks
from evenflow.torch.watch.last_call import LastCall
from evenflow.torch.watch.layers import Weight, weights_of
from evenflow.torch.watch.losses import Losses
from evenflow.torch.watch.optimiser import OptimiserReader
from evenflow.torch.watch.ranks import Ranks
from evenflow.torch.watch.recorder import Recorder
from evenflow.torch.watch.sinks import Sink
from evenflow.torch.watch.suggest import Suggestion, suggest
from evenflow.torch.watch.switch import Switch
from evenflow.torch.watch.verdicts import Verdicts

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
    sinks: Sequence[Sink] = (),
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
    mixed precision, so that gradients are recorded unscaled. ``sinks`` are told a few scalars of
    each sample as well (``evenflow.integrations`` has some for trackers).

    Whatever fails later on, a full disk for one, ends the watch with one warning and never the
    training. Raises ``InputError`` for arguments that are of the wrong kind.
    """
    return Watch(model, optimizer, every, out, scaler, sinks)


class Watch:
    """A watched training; made by ``ef.watch``, and used in a ``with`` statement."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimiser | Iterable[Optimiser] | None,
        every: int,
        out: str | os.PathLike[str],
        scaler: torch.amp.GradScaler | None,
        sinks: Sequence[Sink],
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"every must be a whole number of steps from 1, not {every!r}")
        self._model = unwrap(model)
        self._compiled = is_compiled(model)
        self._optimisers = _optimisers(optimizer)
        self._every, self._scaler, self._sinks = every, scaler, tuple(sinks)
        self.folder = os.fspath(out)
        self._step = 0
        self._losses = Losses()
        self._armed = self._active = False
        self._said: set[str] = set()
        self._handles: list[Any] = []
        self._updates, self._calls = Switch(), Switch()
        self._guarded_step = self._guarded(self._stepped)

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
            self._guarded_step(loss)

    def run(self) -> Run:
        """The run as recorded so far."""
        return read(self.folder)

    def findings(self) -> Diagnosis:
        """What the rules of a training say of the run so far."""
        return diagnose_run(self.run())

    def expect(self, inputs: Any) -> None:
        """Derive what the first sample should look like, before the first step.

        ``inputs`` are those of ``ef.derive``: a batch, or meta tensors of its shape. The run and
        its report then have the derived second moment of each layer beside the measured one. It
        takes about as long as ``ef.derive``, a second for most models. Where the model can't be
        derived one warning says so, and the watch goes on without.
        """
        if not self._active or self._step:
            self._say("what to expect can only be told before the first step")
            return
        try:
            with self._hooks_away():
                self._hooks.expect(expected_second_moments(self._model, inputs))
        except Exception as error:
            self._say(f"the start cannot be derived: {error}")

    def suggest(
        self,
        data: Iterable[tuple[Any, Any]],
        loss: str | LossFunction,
        *,
        steps: int = 100,
        seed: int = 0,
    ) -> Suggestion:
        """Try what may mend the gravest root cause found so far, on copies of the model.

        ``data`` gives batches of (inputs, target), of which at most ``steps`` are drawn; inputs are
        those of ``check``, and ``loss`` is one of its names or a function of output and target.
        The model as it is and with each change train for ``steps`` steps on the same batches, with
        the same seed and with optimisers of the same kind and settings, begun afresh. A change is
        recommended only where the loss fell and came to be lower than without it, both by more than
        two standard errors of the difference; another loss only has to fall. ::

            suggestion = w.suggest(loader, "cross_entropy")
            print(suggestion)
            if suggestion.recommended and suggestion.recommended.plan:
                suggestion.recommended.plan.apply_(model)

        The model, its optimisers and all random states stay as they are. Raises ``InputError`` for
        data without a batch, an unknown loss, and a model or optimiser that can't be copied.
        """
        grave = [f for f in self.findings().findings if not f.follows and f.level != "note"]
        finding = grave[0] if grave else None
        with self._hooks_away():  # they would be copied with the model
            return suggest(
                self._model, self._optimisers, finding, data, loss, steps=steps, seed=seed
            )

    def _open(self) -> None:
        if self._model in _watched:
            raise InputError(
                "this model is being watched already", remedy="leave the other watch first"
            )
        ranks = Ranks()
        weights = weights_of(self._model)
        self._writer = RunWriter(self.folder, self._meta()) if ranks.first else None
        self._describe(weights)
        recorder = self._recorder = Recorder(self._writer, len(weights), ranks, self._sinks)
        self._reader = OptimiserReader(weights, recorder.gradients, recorder.transfers)
        self._hooks = LayerHooks(self._model, recorder, self._reader.note, self._failed)
        self._eager = Eager(needed=self._compiled)
        self._verdicts = Verdicts(self.folder, recorder)
        self._sharded = not all(weight.whole for weight in weights)
        self._last_call = LastCall(self._model, weights)
        self._active = True
        _watched.add(self._model)
        self._hook_optimisers()
        if self._compiled:
            said = "it runs eagerly, at the eager speed, on sampled steps"
            recorder.happened(0, "compiled", type(self._model).__name__, said)
        self._arm()

    def _describe(self, weights: list[Weight]) -> None:
        if self._writer is None:
            return
        optimised = {
            id(p) for o in self._optimisers for group in o.param_groups for p in group["params"]
        }
        for weight in weights:
            known = not self._optimisers or id(weight.parameter) in optimised
            self._writer.add_weight(weight.number, weight.described(known))

    def _hook_optimisers(self) -> None:
        before, after = self._guarded(self._before_update), self._guarded(self._after_update)
        for optimiser in self._optimisers:
            self._handles.append(optimiser.register_step_pre_hook(before))
            self._updates.after_step(optimiser, after)
        if not self._compiled:
            self._last_call.follow(self._calls)

    def _meta(self) -> dict[str, str]:
        versions = {"evenflow": __version__, "torch": torch.__version__}
        return {
            "model": type(self._model).__name__,
            "every": str(self._every),
            "optimiser": ", ".join(type(o).__name__ for o in self._optimisers),
            "versions": json.dumps(versions),
        }

    def _arm(self) -> None:
        self._recorder.clear(self._step // self._every)
        self._eager.on()
        self._hooks.arm()
        self._updates.on()
        self._reader.clear()
        self._armed = True

    def _disarm(self) -> None:
        self._armed = False
        self._eager.off()
        self._updates.off()
        self._hooks.disarm()

    @contextmanager
    def _hooks_away(self) -> Iterator[None]:
        if not self._active:
            yield
            return
        self._hooks.disarm()
        self._calls.off()
        try:
            yield
        finally:
            self._calls.on()
            if self._armed:
                self._hooks.arm()

    def _failed(self, error: Exception) -> None:
        """A hook failed, at most one of many that are still to run."""
        if self._active:
            self._step_aside(error)

    def _stepped(self, loss: torch.Tensor | float | None) -> None:
        if loss is not None and not self._losses.add(loss) and "loss" not in self._last_call.told:
            self._last_call.told.add("loss")
            self._recorder.happened(self._step, "nonfinite", "loss", "the loss is NaN or infinite")
        if self._armed:
            if self._step == 0 and isinstance(loss, torch.Tensor):
                ending = msgspec.json.encode(ending_of(loss)).decode()
                if self._writer is not None:
                    self._writer.tell({"ending": ending})
            self._record()
        self._step += 1
        if self._step % self._every == 0:
            self._arm()
        elif self._armed:
            self._disarm()

    def _record(self) -> None:
        if not self._reader.saw_gradients():
            self._reader.before(self._model.parameters())
            if self._optimisers and self._reader.saw_gradients():
                self._say("the optimiser had not made its step: call w.step() after it")
        self._recorder.transfers.fetch()
        scale = self._scaler.get_scale() if self._scaler is not None else 1.0
        groups = self._optimisers[0].param_groups if self._optimisers else [{"lr": math.nan}]
        self._recorder.record(
            self._step,
            self._losses.fetched(),
            self._reader.norms(scale),
            float(groups[0]["lr"]),
            scale,
            sharded=self._sharded,
        )
        self._verdicts.sampled(self._step)
        if not self._hooks.gradients and not self._reader.saw_gradients():
            self._say("no backward pass was seen: only activations are recorded")

    def _before_update(self, optimiser: Optimiser, *_: Any) -> None:
        cause = self._last_call.cause()
        if cause is not None:
            self._recorder.happened(self._step, "nonfinite", *cause)
            self._verdicts.look(self._step)
        if self._armed:
            self._reader.before(p for group in optimiser.param_groups for p in group["params"])

    def _after_update(self, optimiser: Optimiser, *_: Any) -> None:
        self._reader.after(p for group in optimiser.param_groups for p in group["params"])

    def _guarded(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """``hook``, whose failures end the watch and not the training."""

        def safe(*args: Any, **kwargs: Any) -> Any:
            if not self._active:
                return None
            try:
                return hook(*args, **kwargs)
            except Exception as error:
                self._step_aside(error)
                return None

        return safe

    def _close(self, error: BaseException | None) -> None:
        self._release()
        if self._writer is None:
            return
        try:
            if error is not None:
                said = f"{type(error).__name__}: {error}"
                self._recorder.happened(self._step, "interrupted", "", said)
            finished = "yes" if error is None else "no"
            self._writer.tell({"total_steps": str(self._step), "finished": finished})
            self._verdicts.look(self._step)
            self._writer.close()
        except EvenflowError as failure:
            self._step_aside(failure)

    def _release(self) -> None:
        """Take every hook off the model and the optimisers."""
        self._active = False
        self._disarm()
        self._hooks.remove()
        self._updates.remove()
        self._calls.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._last_call.forget()
        _watched.discard(self._model)

    def _step_aside(self, error: Exception) -> None:
        if self._active:
            self._release()
        ours = isinstance(error, EvenflowError)
        what = str(error) if ours else f"{type(error).__name__}: {error}"
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
