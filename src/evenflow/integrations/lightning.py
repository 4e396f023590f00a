"""A Lightning callback: ``Trainer(callbacks=[WatchCallback(out="run/")])``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from evenflow.errors import InputError
from evenflow.torch.watch.sinks import Sink
from evenflow.torch.watch.watch import Watch, watch

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise InputError("Lightning is not installed", remedy="pip install lightning") from error


class WatchCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Watches what ``Trainer.fit`` trains, as ``ef.watch`` does; one sample counts one batch."""

    def __init__(
        self, *, every: int = 10, out: str | os.PathLike[str] = "run", sinks: Sequence[Sink] = ()
    ) -> None:
        super().__init__()
        self._every, self._out, self._sinks = every, out, sinks
        self._watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._watch = watch(
            pl_module,
            optimizer=trainer.optimizers,
            every=self._every,
            out=self._out,
            scaler=scaler,
            sinks=self._sinks,
        ).__enter__()

    def on_train_batch_end(
        self, _trainer: Any, _pl_module: Any, outputs: Any, _batch: Any, _batch_idx: int
    ) -> None:
        """A batch is over."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if self._watch is not None:
            self._watch.step(loss=loss)

    def on_train_end(self, _trainer: Any, _pl_module: Any) -> None:
        """The training is over."""
        self._end(None)

    def on_exception(self, _trainer: Any, _pl_module: Any, exception: BaseException) -> None:
        """The training failed."""
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.__exit__(type(error) if error else None, error, None)
            self._watch = None
