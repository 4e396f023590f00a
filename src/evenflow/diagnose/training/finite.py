"""Rules on numbers that are none: NaN and infinity in a training."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.record.run import Readings, Run


class Nonfinite(TrainingRule):
    """The training ran into NaN or infinity.

    One NaN in the loss makes every gradient NaN, and the next step of the optimiser every weight:
    from then on nothing can be learned.

    Measured: the loss at every step; outputs, their gradients and weights' gradients at sampled
    steps. Where the first such gradient is seen before the optimiser uses it, the batch is run
    forwards once more to find the first tensor, and the operation that made it.

    Error.

    Remedy: look at the operation that is named: a logarithm or root of what may be zero, a
    division, an overflow. Where the gradients had grown before, the learning rate is too high.
    """

    code = "EF801"
    name = "nonfinite"
    level = "error"
    explains = ("EF802", "EF804", "EF805", "EF806", "EF808", "EF810", "EF811")

    def check(self, run: Run, _limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: the first place."""
        told = run.happened("nonfinite")
        if told:
            first = told[0]
            where = "model" if first.place in ("", "loss") else first.place
            return [self._found(where, first.step, first.detail)]
        for readings, places, what in (
            (run.forward, run.layers, "the output"),
            (run.gradients, run.weights, "the gradient"),
        ):
            sample, tensor = _first(readings)
            if sample >= 0:
                share = readings["nonfinite_share"][sample, tensor]
                return [
                    self._found(
                        places[tensor].name,
                        int(run.steps[sample]),
                        f"{share:.0%} of {what} is NaN or infinite",
                    )
                ]
        return []

    def _found(self, where: str, step: int, measured: str) -> Finding:
        return self.finding(
            "error",
            where=where,
            measured=f"{measured}, at step {step}",
            expected="finite numbers",
            why="NaN spreads to every weight with the next step, and stays there.",
            remedy="look at what this place computes: a logarithm or root of zero, a division by "
            "zero, an overflow; if the gradients had been growing, lower the learning rate",
        )


def _first(readings: Readings) -> tuple[int, int]:
    bad = readings["nonfinite_share"] > 0
    samples = np.flatnonzero(bad.any(axis=1))
    if not len(samples):
        return -1, -1
    return int(samples[0]), int(np.flatnonzero(bad[samples[0]])[0])


RULES = (Nonfinite,)
