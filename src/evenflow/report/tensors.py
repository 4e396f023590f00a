"""The tensors of a checkpoint, as rows of a table."""

from __future__ import annotations

import math
from typing import NamedTuple

from evenflow.diagnose.finding import Diagnosis
from evenflow.record.audit import Audit, TensorAudit
from evenflow.report.words import figure, shape

HEADINGS = ("√E[w²]", "planned", "greatest |w|", "kurtosis")


class TensorRow(NamedTuple):
    """One tensor in words."""

    name: str
    code: str
    shape: str
    flagged: bool
    cells: tuple[str, ...]
    """As ``HEADINGS``."""


def tensor_rows(record: Audit, diagnosis: Diagnosis, most: int) -> list[TensorRow]:
    """At most ``most`` rows: those with findings first, all in the checkpoint's order otherwise."""
    named = {name for finding in diagnosis.findings for name in (finding.where, *finding.others)}
    chosen = sorted(record.stored, key=lambda tensor: tensor.name not in named)[:most]
    return [TensorRow(t.name, t.code, shape(t.shape), t.name in named, _cells(t)) for t in chosen]


def _cells(tensor: TensorAudit) -> tuple[str, ...]:
    planned = math.sqrt(tensor.intent.second_moment) if tensor.intent else math.nan
    if tensor.nonfinite == tensor.count:
        return ("–", figure(planned), "–", "–")
    measured = (math.sqrt(tensor.second_moment), planned, tensor.greatest, tensor.kurtosis)
    return tuple(figure(value) for value in measured)
