"""What rules ask of a series: where it starts and ends, how it scatters, since when it is so."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.record.run import Run, Series


@dataclass(frozen=True)
class LossCurve:
    """The loss where it is a finite number, and its scatter from sample to sample."""

    steps: NDArray[np.int64]
    values: Series

    @classmethod
    def of(cls, run: Run) -> LossCurve:
        """The curve of a run."""
        known = np.isfinite(run.loss)
        return cls(run.steps[known], run.loss[known])

    @property
    def start(self) -> float:
        """The first loss, of the untrained network."""
        return float(self.values[0])

    @property
    def end(self) -> float:
        """Median of the last tenth, at least of five samples."""
        return float(np.median(self.values[-max(5, len(self.values) // 10) :]))

    @property
    def scatter(self) -> float:
        """Standard deviation from sample to sample, whatever the trend: by second differences."""
        if len(self.values) < 4:
            return 0.0
        return float(np.median(np.abs(np.diff(self.values, 2)))) / (0.6745 * 6**0.5)

    @property
    def halved(self) -> bool:
        """Whether less than half of the first loss is left: whatever else shows, it learns."""
        return self.start > 0 and self.end < 0.5 * self.start

    def fallen(self, part: float) -> bool:
        """Whether it has fallen by ``part`` of its start, and by more than it scatters."""
        bar = max(part * abs(self.start), 3 * self.scatter / 5**0.5)
        return self.start - self.end > bar


def late(series: Series, samples: int) -> Series:
    """Median over the last ``samples`` of a (samples, tensors) array; NaN is left out."""
    return middle(series[-samples:])


def middle(series: Series) -> Series:
    """Median over samples of a (samples, tensors) array; NaN is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a tensor that was never measured
        found: Series = np.nanmedian(series, axis=0)
    return found


def strongest(values: Series) -> Series:
    """The greatest known of each sample; NaN where none is known."""
    known = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isinf(known), np.nan, known)


def ends(values: Series) -> tuple[Series, Series]:
    """The strongest of the first and of the last columns, at every sample.

    Ends are a third of more than five columns each, so that one weak branch is no fault.
    """
    third = max(1, values.shape[1] // 3) if values.shape[1] > 5 else 1
    return strongest(values[:, :third]), strongest(values[:, -third:])


def since(run: Run, true: NDArray[np.bool_]) -> int:
    """The step from which on ``true`` (one a sample) holds until the end; −1 where it does not."""
    if not len(true) or not true[-1]:
        return -1
    false = np.flatnonzero(~true)
    return int(run.steps[false[-1] + 1 if len(false) else 0])


def matrices(run: Run) -> list[int]:
    """Numbers of the weights that are matrices or kernels, in the model's order."""
    return [k for k, weight in enumerate(run.weights) if len(weight.shape) > 1]


def update_ratios(run: Run) -> tuple[list[int], Series]:
    """Trained matrices that do not start at zero, and ‖ΔW‖/‖W‖ of each at every sample."""
    ratios, starts = run.gradients["update_ratio"], run.gradients["weight_rms"][0]
    known = [
        k
        for k in matrices(run)
        if np.isfinite(ratios[:, k]).any() and run.weights[k].trainable and starts[k] != 0
    ]
    return known, ratios[:, known]


def hidden(run: Run) -> list[int]:
    """Numbers of the layers with a matrix of their own, without the last, in execution order."""
    wide = {weight.name for weight in run.weights if len(weight.shape) > 1}
    weighted = [k for k, layer in enumerate(run.layers) if wide.intersection(layer.weights)]
    return weighted[:-1]
