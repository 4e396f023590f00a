"""Networks that derivations are measured on, a file a family, in their libraries' own defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

Built = tuple[torch.nn.Module, Any]
"""A model and the inputs that it is called with (a tensor, a tuple, or a mapping)."""


@dataclass(frozen=True)
class Entry:
    """How to build a network, and how many draws of its weights to measure."""

    name: str
    family: str
    build: Callable[[], Built]
    draws: int


ENTRIES: dict[str, Entry] = {}


def entry(draws: int = 200) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    """Enter a builder under its own name and, as its family, that of its file up to an underscore;
    the harness seeds torch before each call, and the inputs of the first call are kept for all
    draws."""

    def enter(build: Callable[[], Built]) -> Callable[[], Built]:
        family = build.__module__.rpartition(".")[2].partition("_")[0]
        ENTRIES[build.__name__] = Entry(build.__name__, family, build, draws)
        return build

    return enter


def load() -> dict[str, Entry]:
    """All entries of all families."""
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__name__}.{file.stem}")
    return ENTRIES
