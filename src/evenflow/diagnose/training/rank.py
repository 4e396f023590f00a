"""Rule on the rank of what layers tell: a hidden layer that says one thing about every example."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, hidden
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Run


class RankCollapse(TrainingRule):
    """A hidden layer tells examples apart along one direction only, or not at all.

    Units that start with the same weights get the same gradients and stay the same: the layer is
    worth one unit, however wide. Dead or saturated networks end there too.

    Measured: the effective rank (tr C)²/tr C² of the covariance matrix C of a hidden layer's
    outputs over the sampled examples, at wide intervals: beside that of the model's input at the
    first sample, and by itself at the latest.

    Error at 1.02 and below, warning at 1.2, of layers with eight outputs or more; at the first
    sample only where the input's own rank is twice that, later on only where the loss has not
    halved: a network that tells two classes apart needs one direction.

    Remedy: draw weights at random, ef.init_(model, inputs); look at what saturates or dies.
    """

    code = "EF808"
    name = "rank-collapse"
    level = "error"
    explains = ("EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: the layer of the lowest rank, at the latest measurement."""
        ranks = run.forward["effective_rank"]
        wide = [k for k in hidden(run) if math.prod(run.layers[k].shape[1:]) >= 8]
        measured = np.flatnonzero(np.isfinite(ranks[:, wide]).any(axis=1))
        if not wide or not len(measured):
            return Skipped("no effective rank was measured")
        latest = int(measured[-1])
        now = {k: float(ranks[latest, k]) for k in wide if math.isfinite(ranks[latest, k])}
        found = [k for k, rank in now.items() if rank <= limits.rank_warning]
        if not found or not self._counts(run, latest, limits):
            return []
        worst = min(found, key=now.__getitem__)
        level: Level = "error" if now[worst] <= limits.rank_error else "warning"
        return [
            self.finding(
                level,
                where=run.layers[worst].name,
                others=tuple(run.layers[k].name for k in found if k != worst),
                measured=f"an effective rank of {figure(now[worst])} at step "
                f"{int(run.steps[latest])}",
                expected="several directions, up to the number of examples or units",
                why="All units of the layer say the same of every example.",
                remedy="draw its weights at random (ef.init_); equal weights stay equal",
            )
        ]

    @staticmethod
    def _counts(run: Run, sample: int, limits: Thresholds) -> bool:
        """Whether there was more to tell apart, or whatever was lost is missed."""
        if sample > 0:
            return not LossCurve.of(run).halved
        given = [k for k, layer in enumerate(run.layers) if layer.op == "input"]
        own = run.forward["effective_rank"][sample, given]
        return not (own <= 2 * limits.rank_warning).any()


RULES = (RankCollapse,)
