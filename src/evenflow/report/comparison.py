"""Before and after: two versions of one network, checked and trained side by side."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from evenflow.diagnose.finding import Diagnosis
from evenflow.errors import InputError
from evenflow.record.record import Record


@dataclass(frozen=True)
class TrainingCurve:
    """A brief training in numbers: the loss at each step, the test accuracy where it was taken."""

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    test_steps: tuple[int, ...] = ()
    test_accuracies: tuple[float, ...] = ()
    """Shares in [0, 1], one for each of ``test_steps``."""

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.losses):
            raise InputError(f"{len(self.steps)} steps but {len(self.losses)} losses in a curve")
        if len(self.test_steps) != len(self.test_accuracies):
            raise InputError(
                f"{len(self.test_steps)} test steps but {len(self.test_accuracies)} accuracies"
            )

    @property
    def late(self) -> tuple[float, ...]:
        """The losses of the last tenth of the steps, at least five: one batch says little."""
        return self.losses[-max(5, len(self.losses) // 10) :]

    @property
    def final_loss(self) -> float:
        """Mean of the late losses; NaN for an empty curve."""
        return statistics.fmean(self.late) if self.losses else math.nan

    @property
    def error(self) -> float:
        """Standard error of the final loss."""
        late = self.late
        return statistics.stdev(late) / math.sqrt(len(late)) if len(late) > 1 else 0.0


@dataclass(frozen=True)
class Trial:
    """One version of the network: what a check measured and found, and how it trained."""

    record: Record
    diagnosis: Diagnosis
    curve: TrainingCurve


@dataclass(frozen=True)
class Comparison:
    """The network as it was and as changed, under the same batch, data, optimiser and seed."""

    before: Trial
    after: Trial
    change: str
    """What was changed, in a sentence."""
    helped: bool
    """Whether the change is recommended."""
    seed: int
