"""The studies by name; each is imported when it runs, since it brings its framework along."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from evenflow.errors import InputError

if TYPE_CHECKING:
    from evenflow.report.report import Report

Progress = Callable[[str, int, int, float], None]
"""Called with what is being done, steps done, steps in all, and the loss (NaN for none)."""


@dataclass(frozen=True)
class Study:
    """One experiment."""

    summary: str
    """What it shows, in a line."""
    module: str
    """The module whose ``run(seed, progress)`` makes its report."""

    def run(self, seed: int, progress: Progress) -> Report:
        """Run it."""
        module = importlib.import_module(self.module)
        return cast("Report", module.run(seed, progress))


STUDIES = {
    "main-job": Study(
        "the network of Glorot and Bengio 2010, under the old heuristic and as planned",
        "evenflow.study.main_job",
    ),
}


def find(name: str) -> Study:
    """The study of that name."""
    if name not in STUDIES:
        close = difflib.get_close_matches(name, STUDIES, n=1)
        raise InputError(
            f"there is no study {name!r}",
            remedy=(f"did you mean {close[0]}? " if close else "") + f"Known: {', '.join(STUDIES)}",
        )
    return STUDIES[name]
