"""How many terms a convolution or a pooling really sums: taps that fall on padding sum nothing."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def landing_taps(
    length_in: int, length_out: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[int, ...]:
    """For each output position along one axis, the taps whose input position is inside the tensor.

    Output o reads input o·stride − padding + tap·dilation. For a transposed convolution exchange
    ``length_in`` and ``length_out``: its input positions scatter where a convolution's read.
    """
    return tuple(
        sum(0 <= o * stride - padding + tap * dilation < length_in for tap in range(kernel))
        for o in range(length_out)
    )
