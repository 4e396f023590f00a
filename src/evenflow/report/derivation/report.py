"""What ``ef.derive`` returns: a derivation that can be read, printed and saved as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evenflow.atomic import write_bytes
from evenflow.graph.fluctuation import Interval
from evenflow.graph.graph import Graph
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation


@dataclass(frozen=True, repr=False)
class DerivationReport:
    """A derivation with what is said about it as a whole. ``print`` shows it as a table."""

    title: str
    derivation: Derivation
    notes: tuple[str, ...] = ()
    """What is to be known first: what a plan said of itself."""
    command: str = ""
    """The command that makes this report again."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The operations, whose names the moments go by."""
        return self.derivation.graph

    @property
    def forward(self) -> Mapping[str, Moments]:
        """Moments of every value, by name."""
        return self.derivation.forward

    @property
    def backward(self) -> Mapping[str, Moments]:
        """Moments of the gradient with respect to every value that one flows to."""
        return self.derivation.backward

    @property
    def interval_forward(self) -> Mapping[str, Interval]:
        """The 5th and the 95th percentile of each second moment over draws of the weights."""
        return self.derivation.interval_forward

    @property
    def interval_backward(self) -> Mapping[str, Interval]:
        """The same of the gradients'."""
        return self.derivation.interval_backward

    @property
    def sampled(self) -> Mapping[str, str]:
        """Values that no rule derives, and that were sampled: name → operation and place."""
        return self.derivation.sampled

    @property
    def unknown(self) -> Mapping[str, str]:
        """Values without Moments, and which operation stands in the way."""
        return self.derivation.obstacles_forward

    def save(self, path: str | Path) -> None:
        """Write a page with both profiles and every number's sentence, whole or not at all."""
        from evenflow.report.derivation.page import to_html

        write_bytes(Path(path), to_html(self).encode())

    def __str__(self) -> str:
        from evenflow.report.derivation.text import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<derivation of {self.title}: {len(self.graph.nodes)} operations>"
