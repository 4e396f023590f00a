"""A callback for Transformers: ``Trainer(callbacks=[WatchCallback(out="run/")])``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from evenflow.torch.watch.sinks import Sink
from evenflow.torch.watch.watch import Watch, watch


class WatchCallback(TrainerCallback):
    """Watches what ``Trainer.train`` trains, as ``ef.watch`` does.

    The Trainer hands no loss to its callbacks at each step: the run has those that it logs, at the
    steps where it logs them.
    """

    def __init__(
        self, *, every: int = 10, out: str | os.PathLike[str] = "run", sinks: Sequence[Sink] = ()
    ) -> None:
        self._every, self._out, self._sinks = every, out, sinks
        self._watch: Watch | None = None
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Begin to watch."""
        optimizer = given["optimizer"]
        self._watch = watch(
            given["model"],
            optimizer=getattr(optimizer, "optimizer", optimizer),  # inside Accelerate's wrapper
            every=self._every,
            out=self._out,
            sinks=self._sinks,
        ).__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A step of the optimiser is over."""
        if self._watch is not None:
            self._watch.step(loss=self._loss)
            self._loss = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """The Trainer has told its loss; the next step records it."""
        if logs and "loss" in logs:
            self._loss = float(logs["loss"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The training is over."""
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
            self._watch = None
