"""Audit: what was measured on the tensors of a checkpoint, read by parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from evenflow.record.record import Record


@dataclass(frozen=True)
class Intent:
    """What a plan wants of a tensor, in numbers."""

    distribution: str
    """In words."""
    second_moment: float
    """E[w²]."""
    limit: float
    """Greatest |w| that can be drawn, over √E[w²]; infinite where there is no bound."""
    least: float
    """What the greatest |w| over √E[w²] falls short of in one of 10⁹ tensors of this size at
    most; 0 where nothing can be said."""


@dataclass(frozen=True)
class TensorAudit:
    """One tensor of a checkpoint."""

    name: str
    code: str
    """Its type as safetensors calls it."""
    shape: tuple[int, ...]
    count: int
    nonfinite: int
    mean: float
    second_moment: float
    """Of the finite values, as are all numbers here."""
    minimum: float
    maximum: float
    kurtosis: float
    """E[w⁴]/E[w²]²."""
    rows: int
    """Along the first axis; 1 for a tensor of fewer than two axes."""
    zero_rows: int
    shards: int = 1
    """Parts that it is stored in."""
    equal_shards: int = 0
    """How many of those parts hold the same as another of them."""
    ways: int = 0
    """Into so many parts along ``axis`` it can be cut so that the first two are equal; 0: none."""
    axis: int = 0
    clone_of: str = ""
    """An earlier tensor of the same values."""
    intent: Intent | None = None
    """What the plan wants, where there is one that speaks of it."""

    @property
    def greatest(self) -> float:
        """Greatest magnitude of a finite value."""
        return max(abs(self.minimum), abs(self.maximum))

    @property
    def constant(self) -> bool:
        """Whether it holds one value only."""
        return self.minimum == self.maximum


@dataclass(frozen=True)
class Audit(Record):
    """A Record of a checkpoint: no pass was made, its tensors were measured."""

    stored: tuple[TensorAudit, ...] = field(default=())
    planned: bool = False
    """Whether a plan was there to compare with."""
