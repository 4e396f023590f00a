"""How numbers are said in findings."""

from __future__ import annotations

import math


def figure(value: float) -> str:
    """Two or three significant digits without needless exponents: 0.031, 12.5, 640, 1.2e-7."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e5:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def times(factor: float) -> str:
    """A factor as a multiple or a part: "17 times", "1/6 of"."""
    if factor >= 1:
        return f"{figure(factor)} times"
    return f"1/{figure(1 / factor)} of" if factor > 0 else "nothing of"
