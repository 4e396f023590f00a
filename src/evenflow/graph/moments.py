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

    @classmethod
    def constant(cls, value: float) -> Moments:
        """Every element the same."""
        return cls(value, value**2, value**2, value**2)

    @classmethod
    def parameter(cls, mean: float, second: float) -> Moments:
        """A parameter: the same for all examples and positions."""
        return cls(mean, second, second, second)

    @classmethod
    def independent(cls, mean: float = 0.0, second: float = 1.0) -> Moments:
        """Every element drawn afresh: nothing shared but the mean."""
        return cls(mean, second, mean**2, mean**2)

    def scaled(self, factor: float) -> Moments:
        """Moments of ``factor`` · x."""
        square = factor**2
        return Moments(
            factor * self.mean,
            square * self.second,
            square * self.shared_examples,
            square * self.shared_positions,
        )

    def plus(self, other: Moments) -> Moments:
        """Sum with an independent tensor: q' = q_x + q_y + 2 m_x m_y, likewise the shared parts."""
        cross = 2 * self.mean * other.mean
        return Moments(
            self.mean + other.mean,
            self.second + other.second + cross,
            self.shared_examples + other.shared_examples + cross,
            self.shared_positions + other.shared_positions + cross,
        )

    def times(self, other: Moments) -> Moments:
        """Product with an independent tensor: means, second moments and shared parts multiply."""
        return Moments(
            self.mean * other.mean,
            self.second * other.second,
            self.shared_examples * other.shared_examples,
            self.shared_positions * other.shared_positions,
        )
