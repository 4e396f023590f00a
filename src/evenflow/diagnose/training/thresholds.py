"""Every threshold of the rules of a training, in one place: what a calibration sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits that the rules compare with; each rule's explanation says what it does with them."""

    settled: int = 5
    """Samples that a state has to last before it counts."""
    saturated_warning: float = 0.5
    """Of the way from the share that is natural to all of a layer's elements …"""
    saturated_error: float = 0.9
    dead_warning: float = 0.75
    """Share of a layer's units …"""
    dead_error: float = 0.95
    learning_steps: int = 100
    """Steps before a loss is expected to have fallen."""
    learning_drop: float = 0.02
    """Part of the starting loss by which it must have fallen to be called falling."""
