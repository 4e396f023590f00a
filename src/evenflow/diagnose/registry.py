"""All rules, and how one is found by its code or name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from evenflow.diagnose.rule import Explained, Rule
from evenflow.diagnose.rules import (
    backward,
    finite,
    forward,
    inputs,
    loss,
    scale,
    stored,
    units,
    weights,
)
from evenflow.errors import InputError

_Kind = TypeVar("_Kind", bound=Explained)


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, in the order of the codes."""
    modules = (forward, units, finite, backward, scale, weights, loss, inputs, stored)
    found = [rule() for module in modules for rule in module.RULES]
    return tuple(sorted(found, key=lambda rule: rule.code))


def find(code_or_name: str) -> Rule:
    """The rule over a Record of that code ("EF101") or name ("vanishing-forward").

    In any case of letters. Raises InputError for an unknown one, with those that come close.
    """
    return among(rules(), code_or_name)


def among(some: Iterable[_Kind], code_or_name: str) -> _Kind:
    """The one of ``some`` rules of that code or name, as ``find`` does."""
    known = {key.lower(): rule for rule in some for key in (rule.code, rule.name)}
    asked = code_or_name.strip().lower()
    if asked in known:
        return known[asked]
    near = difflib.get_close_matches(asked, known, n=3, cutoff=0.5)
    close = " or ".join(f"{known[key].code} ({known[key].name})" for key in near)
    raise InputError(
        f"there is no rule {code_or_name!r}",
        remedy=f"did you mean {close}?" if close else "`evenflow rules` lists them all",
    )
