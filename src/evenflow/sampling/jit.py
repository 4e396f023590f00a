"""Numba's compiler as this project uses it: no Python inside, no interpreter lock, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` at its first call, once a machine where a cache can be written.

    Without fast-math: every float operation rounds as IEEE 754 says.
    """
    try:
        kernel: Callable[P, R] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # Numba found no folder that it may write to
        kernel = numba.njit(nogil=True)(function)
    return kernel


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` as text of its callers, so that loops around it become vectors."""
    kernel: Callable[P, R] = numba.njit(inline="always")(function)
    return kernel
