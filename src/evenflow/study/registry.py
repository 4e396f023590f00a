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
    from evenflow.study.reproduction import Reproduction

Progress = Callable[[str, int, int, float], None]
"""Called with what is being done, steps done, steps in all, and the loss (NaN for none)."""


@dataclass(frozen=True)
class Study:
    """One experiment on one network; its outcome is the report of a check."""

    summary: str
    """What it shows, in a line."""
    module: str
    """The module whose ``run(seed, progress)`` makes its report."""

    def run(self, seed: int, progress: Progress) -> Report:
        """Run it."""
        module = importlib.import_module(self.module)
        return cast("Report", module.run(seed, progress))


@dataclass(frozen=True)
class Paper:
    """A paper's experiments, whose published results stand beside ours."""

    summary: str
    """What it shows, in a line."""
    module: str
    """The module whose ``REPRODUCTION`` knows its figures and tables."""

    def load(self) -> Reproduction:
        """Its figures and tables."""
        return cast("Reproduction", importlib.import_module(self.module).REPRODUCTION)


STUDIES: dict[str, Study | Paper] = {
    "main-job": Study(
        "the network of Glorot and Bengio 2010, under the old heuristic and as planned",
        "evenflow.study.main_job",
    ),
    "glorot2010": Paper(
        "every figure and the table of Glorot and Bengio 2010, published beside ours",
        "evenflow.study.glorot2010.reproduction",
    ),
    "he2015": Paper(
        "rectifier networks of 22 and 30 layers, Xavier's initialisation against He's",
        "evenflow.study.he2015.reproduction",
    ),
    "saxe2014": Paper(
        "learning time of deep linear networks by depth, Gaussian against orthogonal starts",
        "evenflow.study.saxe2014.reproduction",
    ),
}


def find(name: str) -> Study | Paper:
    """The study of that name."""
    if name not in STUDIES:
        close = difflib.get_close_matches(name, STUDIES, n=1)
        raise InputError(
            f"there is no study {name!r}",
            remedy=(f"did you mean {close[0]}? " if close else "") + f"Known: {', '.join(STUDIES)}",
        )
    return STUDIES[name]
