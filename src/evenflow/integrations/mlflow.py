"""A sink for MLflow: ``ef.watch(model, sinks=[MlflowSink(mlflow)])``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MlflowSink:
    """Logs to the active run of ``mlflow``, the module itself.

    MLflow has no histograms: of each layer the bulk's ends are logged instead, where they are
    asked for.
    """

    def __init__(self, mlflow: Any, *, histograms: bool = False) -> None:
        self.histograms = histograms
        self._mlflow = mlflow

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one sampled step."""
        self._mlflow.log_metrics(dict(values), step=step)

    def histogram(
        self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]
    ) -> None:
        """One layer's outputs."""
        shares = np.cumsum(counts) / max(int(counts.sum()), 1)
        low, high = (float(edges[int(np.searchsorted(shares, part))]) for part in (0.02, 0.98))
        self._mlflow.log_metrics({f"{name}/p2": low, f"{name}/p98": high}, step=step)
