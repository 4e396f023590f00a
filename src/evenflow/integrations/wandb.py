"""A sink for Weights & Biases: ``ef.watch(model, sinks=[WandbSink(wandb.init(...))])``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WandbSink:
    """Logs to a run of Weights & Biases, what ``wandb.init`` returns.

    The training's own step stands beside the numbers as ``evenflow/step``: the run's step is the
    user's, and may only ever grow.
    """

    def __init__(self, run: Any, *, histograms: bool = False) -> None:
        self.histograms = histograms
        self._run = run
        run.define_metric("evenflow/*", step_metric="evenflow/step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one sampled step."""
        self._run.log({**values, "evenflow/step": step}, commit=False)

    def histogram(
        self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]
    ) -> None:
        """One layer's outputs."""
        from wandb import Histogram  # type: ignore[import-not-found, unused-ignore]

        pictured = Histogram(np_histogram=(counts, edges))
        self._run.log({name: pictured, "evenflow/step": step}, commit=False)
