"""How numbers and names are said, the same in every format."""

from __future__ import annotations

import math


def figure(value: float) -> str:
    """A number to three significant digits: 0.0310, 12.5, 4096, 1.23e-7; "–" for none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size == 0:
        return "0"
    if 1e-3 <= size < 999.5:
        return f"{value:#.3g}".rstrip(".")
    if 999.5 <= size < 1e5:
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def percent(share: float) -> str:
    """A share in [0, 1] as whole per cent, "<1 %" where that would round to 0."""
    if math.isnan(share):
        return "–"
    if 0 < share < 0.005:
        return "<1 %"
    return f"{round(100 * share)} %"


def times(ratio: float) -> str:
    """What a ratio of two second moments, last to first, means: level, shrinking or growing."""
    if not math.isfinite(ratio) or ratio <= 0:
        return "is lost on the way"
    if 0.5 <= ratio <= 2:
        return f"stays level (×{figure(ratio)})"
    return f"grows {figure(ratio)}-fold" if ratio > 1 else f"shrinks {figure(1 / ratio)}-fold"


def many(number: int, noun: str) -> str:
    """A number with its noun: "1 finding", "3 findings"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shape(sizes: tuple[int, ...]) -> str:
    """A tensor's shape: 128 × 64; "scalar" for none."""
    return " × ".join(str(size) for size in sizes) or "scalar"


def printable(text: str) -> str:
    """One line of text with everything escaped that a terminal or an XML reader might act on.

    Names come from the user's files: they may hold control sequences, changes of direction or
    bytes that are no text.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )


def short(text: str, limit: int = 120) -> str:
    """``text`` as one printable line of at most ``limit`` characters, cut in the middle."""
    line = printable(text)
    if len(line) <= limit:
        return line
    tail = (limit - 1) // 2
    return f"{line[: limit - 1 - tail]}…{line[len(line) - tail :]}"
