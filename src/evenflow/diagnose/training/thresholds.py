"""Every threshold of the rules of a training, in one place: what a calibration sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits that the rules compare with; each rule's explanation says what it does with them."""

    settled: int = 5
    """Samples that a state has to last before it counts."""

    learning_steps: int = 100
    """Steps before a loss is expected to have fallen …"""
    learning_drop: float = 0.02
    """… by this part of where it started."""
    moving: float = 1e-4
    """‖ΔW‖/‖W‖ of one step, in the median, from which on weights move at a usual pace."""
    divergence: float = 0.5
    """Part of the starting loss by which it must have risen to be called diverging."""
    plateau_share: float = 0.2
    """Part of all samples that a plateau lasts at least …"""
    plateau_drop: float = 0.1
    """… and part of the whole fall of the loss that must lie behind it."""

    start_factor: float = 2.0
    """Part of chance, and what is added to it, above which a first loss is far off."""
    start_margin: float = 0.5

    saturated_warning: float = 0.5
    """Part of the way from the share that is natural to all of a layer's elements."""
    saturated_error: float = 0.9
    dead_warning: float = 0.75
    """Share of a layer's units."""
    dead_error: float = 0.95
    collapsed: float = 0.15
    """Of the top layer's activations the 98th percentile, as a part of the activation's range."""
    rank_warning: float = 1.2
    """Effective rank of a hidden layer's outputs."""
    rank_error: float = 1.02

    recurrence_warning: float = 3.0
    """By how much weights from state to state may multiply it at the start."""
    recurrence_error: float = 10.0
    signal_warning: float = 2e5
    """Factor by which the signal shrinks through depth before the first step."""
    vanishing_warning: float = 1e6
    """Factor by which gradients shrink from the last hidden layer to the first."""
    vanishing_error: float = 1e12
    exploding_warning: float = 1e4
    """Factor by which they grow."""
    exploding_error: float = 1e8
    norm_growth: float = 1e3
    """Factor from the median norm of all gradients to its greatest."""

    update_high: float = 0.1
    """‖ΔW‖/‖W‖ of one step, in the median over matrices or of a single one."""
    update_once: float = 0.6
    """The same of a single step, where nothing is learned afterwards."""
    update_low: float = 1e-5
    update_uneven: float = 1e-4
    """One matrix's ratio beside the median of all."""
    clipping_share: float = 0.9
    """Share of samples whose gradients were clipped …"""
    clipping_factor: float = 0.1
    """… and the factor below which that is a warning."""

    unchanged_warning: float = 0.5
    """Share of a half-precision weight's elements that a step leaves as they were."""
    unchanged_error: float = 0.9
    underflow: float = 0.5
    """Share of zeros among gradients of half-precision weights."""

    bounded_output: float = 0.5
    """Share of outputs at the bound of their activation …"""
    bounded_loss: float = 0.25
    """… and part of a squared loss that is left, from which on the bound is in the way."""

    input_high: float = 30.0
    """Root mean square of the model's input."""
    input_low: float = 0.01
    input_offset: float = 10.0
    """Mean of the model's input in standard deviations."""
    target_scale: float = 30.0
    """Root of a squared loss at the start, beside outputs a tenth as large."""
