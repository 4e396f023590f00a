"""What the scales of every study share: they are found by name, and trainings may be cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from evenflow.errors import InputError

S = TypeVar("S", bound=Any)
"""A study's own kind of scale: a dataclass with ``updates``."""


def find(scales: Mapping[str, S], name: str, updates: int | None) -> S:
    """The scale of that name; ``updates``, if given, takes the place of what it says."""
    if name not in scales:
        raise InputError(f"there is no scale {name!r}", remedy=f"choose one of {', '.join(scales)}")
    found: S = scales[name] if updates is None else replace(scales[name], updates=updates)
    return found


def find_for_one_data_set(
    scales: Mapping[str, S], name: str, updates: int | None, data: tuple[str, ...]
) -> S:
    """``find``, for a study whose data set can't be chosen."""
    if data:
        raise InputError("this study has one data set: leave out --data-sets")
    return find(scales, name, updates)
