"""All rules, and how one is found by its code or name."""

from __future__ import annotations

import difflib
from functools import cache

from evenflow.diagnose.rule import Rule
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


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, in the order of the codes."""
    modules = (forward, units, finite, backward, scale, weights, loss, inputs, stored)
    found = [rule() for module in modules for rule in module.RULES]
    return tuple(sorted(found, key=lambda rule: rule.code))


def find(code_or_name: str) -> Rule:
    """The rule of that code ("EF101") or name ("vanishing-forward"), in any case of letters.

    Raises InputError for an unknown one, with those that come close.
    """
    known = {key.lower(): rule for rule in rules() for key in (rule.code, rule.name)}
    asked = code_or_name.strip().lower()
    if asked in known:
        return known[asked]
    near = difflib.get_close_matches(asked, known, n=3, cutoff=0.5)
    close = " or ".join(f"{known[key].code} ({known[key].name})" for key in near)
    raise InputError(
        f"there is no rule {code_or_name!r}",
        remedy=f"did you mean {close}?" if close else "`evenflow rules` lists them all",
    )
