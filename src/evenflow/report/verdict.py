"""The verdict: the whole report in a sentence or two, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evenflow.diagnose.finding import LEVELS, Diagnosis, Finding, Level
from evenflow.record.record import Record
from evenflow.report.comparison import Comparison, TrainingCurve
from evenflow.report.layers import labels, main_path, statistics
from evenflow.report.report import Report
from evenflow.report.words import figure, many, times


@dataclass(frozen=True)
class Verdict:
    """What a reader in a hurry should take away."""

    level: Literal["clean", "note", "warning", "error"]
    """The worst finding's level."""
    headline: str
    detail: str
    """How the signal fares from end to end, and which rules could not speak."""


def verdict(report: Report) -> Verdict:
    """The verdict on a report."""
    findings = report.diagnosis.findings
    sentences = [journey(report.record), _unsaid(report.diagnosis)]
    return Verdict(
        findings[0].level if findings else "clean",
        _headline(findings),
        " ".join(sentence for sentence in sentences if sentence),
    )


def counts(diagnosis: Diagnosis) -> dict[Level, int]:
    """Number of findings of each level, the worst level first."""
    levels = [finding.level for finding in diagnosis.findings]
    return {level: levels.count(level) for level in reversed(LEVELS)}


def journey(record: Record) -> str:
    """How second moments change from end to end, in both directions."""
    sentences = []
    forward, backward = main_path(record, "forward"), main_path(record, "backward")[::-1]
    ratio_forward, ratio_backward = ratios(record)
    for way, path, ratio in (
        ("Forwards", forward, ratio_forward),
        ("Backwards", backward, ratio_backward),
    ):
        if len(path) < 2:
            continue
        names = labels(path)
        sentences.append(
            f"{way}, from layer {names[path[0].node]} to {names[path[-1].node]}, "
            f"the second moment {times(ratio)}."
        )
    return " ".join(sentences)


def ratios(record: Record) -> tuple[float, float]:
    """Second moment at the end of each way over that at its start: forwards, backwards."""
    forward = [layer.forward.second_moment for layer in main_path(record, "forward")]
    backward = [
        measured.second_moment
        for layer in reversed(main_path(record, "backward"))
        if (measured := statistics(layer, "backward")) is not None
    ]
    return _ratio(forward), _ratio(backward)


def outcome(comparison: Comparison) -> str:
    """What the change did to training, in a sentence."""
    verdict = "The change helped" if comparison.helped else "The change did not help"
    before, after = comparison.before.curve, comparison.after.curve
    parts = []
    if before.losses and after.losses:
        parts.append(
            f"after {many(after.steps[-1], 'step')} the loss is {figure(after.final_loss)} "
            f"instead of {figure(before.final_loss)}"
        )
    if before.test_accuracies and after.test_accuracies:
        parts.append(f"test accuracy {_accuracy(after)} instead of {_accuracy(before)}")
    return f"{verdict}: {', '.join(parts)}." if parts else f"{verdict}."


def _headline(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return "No rule found anything wrong."
    worst = findings[0]
    head = f"{worst.name.replace('-', ' ').capitalize()} at {worst.where}"
    if worst.where == "model":
        head = worst.name.replace("-", " ").capitalize()
    others = len(findings) - 1
    return f"{head}, and {many(others, 'more finding')}." if others else f"{head}."


def _unsaid(diagnosis: Diagnosis) -> str:
    skipped = sum(bool(outcome.skipped) for outcome in diagnosis.outcomes)
    return f"{many(skipped, 'rule')} could not be applied." if skipped else ""


def _ratio(values: list[float]) -> float:
    if len(values) < 2 or values[0] == 0:
        return float("nan")
    return values[-1] / values[0]


def _accuracy(curve: TrainingCurve) -> str:
    return f"{100 * curve.test_accuracies[-1]:.1f} %"
