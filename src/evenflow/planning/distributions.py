"""The distributions that a parameter can be drawn from.

Each is a small frozen value: what it is, its mean and second moment, and how to say it in words.
How values are drawn from them is the business of ``evenflow.sampling``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from evenflow.errors import InputError


def _positive(value: float, what: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{what} must be a finite number at or above 0, not {value!r}")


@dataclass(frozen=True)
class Uniform:
    """Uniform on [-bound, bound]: variance bound²/3."""

    bound: float
    kind: Literal["uniform"] = "uniform"

    def __post_init__(self) -> None:
        _positive(self.bound, "the bound of a uniform distribution")

    @property
    def second_moment(self) -> float:
        """E[w²]."""
        return self.bound**2 / 3

    def __str__(self) -> str:
        return f"U(±{self.bound:.4g})"


@dataclass(frozen=True)
class Normal:
    """Normal with mean 0 and standard deviation ``std``."""

    std: float
    kind: Literal["normal"] = "normal"

    def __post_init__(self) -> None:
        _positive(self.std, "the standard deviation of a normal distribution")

    @property
    def second_moment(self) -> float:
        """E[w²]."""
        return self.std**2

    def __str__(self) -> str:
        return f"N(0, {self.std:.4g}²)"


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal cut at ±``cut`` standard deviations of the parent.

    ``std`` is the standard deviation *after* truncation, which is what a variance rule asks for;
    the parent's is larger, by 1/0.8796 at ``cut`` = 2.
    """

    std: float
    cut: float = 2.0
    kind: Literal["truncated_normal"] = "truncated_normal"

    def __post_init__(self) -> None:
        _positive(self.std, "the standard deviation of a truncated normal distribution")
        if not (math.isfinite(self.cut) and self.cut > 0):
            raise InputError(f"the cut of a truncated normal must be above 0, not {self.cut!r}")

    @property
    def parent_std(self) -> float:
        """Standard deviation σ₀ of the normal before truncation.

        std² = σ₀² (1 − 2 c φ(c) / (2Φ(c) − 1)), c = ``cut``.
        """
        c = self.cut
        mass = math.erf(c / math.sqrt(2))
        density = math.exp(-0.5 * c * c) / math.sqrt(2 * math.pi)
        return self.std / math.sqrt(1 - 2 * c * density / mass)

    @property
    def second_moment(self) -> float:
        """E[w²]."""
        return self.std**2

    def __str__(self) -> str:
        return f"TN(0, {self.std:.4g}², ±{self.cut:g}σ₀)"


@dataclass(frozen=True)
class Orthogonal:
    """A random (semi-)orthogonal matrix times ``gain``.

    The weight is read as a matrix of its first axis by all others. With r rows and c columns, rows
    or columns (whichever are fewer) are orthogonal, of norm ``gain``: E[w²] = gain² / max(r, c).
    """

    gain: float = 1.0
    kind: Literal["orthogonal"] = "orthogonal"

    def __post_init__(self) -> None:
        _positive(self.gain, "the gain of an orthogonal distribution")

    def __str__(self) -> str:
        return f"orthogonal·{self.gain:.4g}"


@dataclass(frozen=True)
class DeltaOrthogonal:
    """A convolution weight (out, in, *taps), zero but for an orthogonal matrix at the centre tap.

    Xiao et al. 2018: the convolution is then a norm-preserving map of channels.
    """

    gain: float = 1.0
    kind: Literal["delta_orthogonal"] = "delta_orthogonal"

    def __post_init__(self) -> None:
        _positive(self.gain, "the gain of a delta-orthogonal distribution")

    def __str__(self) -> str:
        return f"delta-orthogonal·{self.gain:.4g}"


@dataclass(frozen=True)
class Constant:
    """Every element the same value; ``Constant(0)`` writes zeros."""

    value: float = 0.0
    kind: Literal["constant"] = "constant"

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InputError(f"a constant must be finite, not {self.value!r}")

    @property
    def second_moment(self) -> float:
        """E[w²]."""
        return self.value**2

    def __str__(self) -> str:
        return "zeros" if self.value == 0 else f"constant {self.value:.4g}"


Simple = Uniform | Normal | TruncatedNormal | Orthogonal | DeltaOrthogonal | Constant


@dataclass(frozen=True)
class Blocks:
    """A packed weight: equal or unequal slices along ``axis``, each with a distribution of its own.

    ``sizes[k]`` rows along ``axis`` follow ``parts[k]``; the sizes add up to the axis.
    """

    axis: int
    sizes: tuple[int, ...]
    parts: tuple[Simple, ...]
    kind: Literal["blocks"] = "blocks"

    def __post_init__(self) -> None:
        if self.axis < 0 or len(self.sizes) != len(self.parts) or not self.sizes:
            raise InputError("blocks need an axis at or above 0 and one size for each part")
        if any(size <= 0 for size in self.sizes):
            raise InputError(f"block sizes must be above 0, not {self.sizes}")

    def __str__(self) -> str:
        if len(set(self.parts)) == 1 and len(set(self.sizes)) == 1:
            return f"{len(self.parts)} × {self.parts[0]}"
        return " | ".join(
            f"{size}: {part}" for size, part in zip(self.sizes, self.parts, strict=True)
        )


Distribution = Simple | Blocks
