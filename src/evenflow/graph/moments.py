"""Moments: what the calculus tracks of a tensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """Mean, second moment and shared parts of a tensor: m² ≤ s_B ≤ s_T ≤ q.

    ``shared_examples`` s_B is E over units of (E over examples of x)²; ``shared_positions`` s_T is
    the same over the positions (tokens, pixels) of one example. s_B/q is the correlation of two
    examples, s_T/q that of two positions of one.
    """

    mean: float
    second: float
    shared_examples: float
    shared_positions: float

    @property
    def variance(self) -> float:
        """q − m², over all elements."""
        return self.second - self.mean**2
