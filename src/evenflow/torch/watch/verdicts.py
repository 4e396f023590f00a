"""Verdicts while the training goes on: the rules look at the run at growing distances."""

from __future__ import annotations

import logging
import os

from evenflow.diagnose.finding import LEVELS
from evenflow.diagnose.training import diagnose_run
from evenflow.record.run_reader import read
from evenflow.torch.watch.recorder import Recorder

_LOG = logging.getLogger("evenflow.watch")
_FIRST, _OFTEN = 32, 512
"""Samples before the rules are first applied; then at each quadrupling, and at each doubling once
there are as many as the second, so that they cost little."""


class Verdicts:
    """Tells each root cause once, when it is first found."""

    def __init__(self, folder: str | os.PathLike[str], recorder: Recorder) -> None:
        self._folder, self._recorder = folder, recorder
        self._samples = 0
        self._next = _FIRST
        self._told: set[str] = set()

    def sampled(self, step: int) -> None:
        """Another sample was written."""
        self._samples += 1
        if self._samples >= self._next:
            self._next *= 4 if self._next < _OFTEN else 2
            self.look(step)

    def look(self, step: int) -> None:
        """Apply the rules now."""
        if self._recorder.writer is None:
            return
        for finding in diagnose_run(read(self._folder)).findings:
            if finding.code in self._told or finding.follows or finding.level == "note":
                continue
            self._told.add(finding.code)
            said = f"{finding.code} {finding.name}"
            self._recorder.happened(step, "verdict", finding.where, f"{said}: {finding.measured}")
            grave = finding.level == LEVELS[-1]
            _LOG.log(
                logging.WARNING if grave else logging.INFO,
                "%s at %s: %s. %s",
                said,
                finding.where,
                finding.measured,
                finding.remedy,
            )
