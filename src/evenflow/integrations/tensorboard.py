"""A sink for TensorBoard: ``ef.watch(model, sinks=[TensorBoardSink("runs/one")])``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError


class TensorBoardSink:
    """Writes to a ``SummaryWriter`` of one's own, or to a folder."""

    def __init__(self, writer: Any, *, histograms: bool = False) -> None:
        self.histograms = histograms
        self._writer = _opened(writer) if isinstance(writer, (str, os.PathLike)) else writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one sampled step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def histogram(
        self, step: int, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]
    ) -> None:
        """One layer's outputs."""
        middle = (edges[1:] + edges[:-1]) / 2
        self._writer.add_histogram_raw(
            name,
            min=float(edges[0]),
            max=float(edges[-1]),
            num=int(counts.sum()),
            sum=float(counts @ middle),
            sum_squares=float(counts @ middle**2),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )


def _opened(folder: str | os.PathLike[str]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed", remedy="pip install tensorboard"
        ) from error
    return SummaryWriter(os.fspath(folder))
