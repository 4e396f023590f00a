"""Diagnose: apply the rules to a Record, and tell causes from what follows from them."""

from __future__ import annotations

from collections.abc import Iterable

from evenflow.diagnose.causes import attribute
from evenflow.diagnose.finding import Diagnosis, RuleOutcome
from evenflow.diagnose.registry import find, rules
from evenflow.diagnose.rule import Rule, Skipped, missing
from evenflow.record.audit import Audit
from evenflow.record.record import Record


def diagnose(record: Record, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> Diagnosis:
    """Apply all rules, or only those of ``select``, without those of ``ignore``.

    To an Audit all rules are those on checkpoints, to any other Record all others.

    Both take codes or names of rules. A rule that lacks what it needs is reported as skipped, with
    the reason; so is a rule that fails, since one bad rule must not silence the others.

    Raises InputError for an unknown code or name.
    """
    chosen = [find(key) for key in select] or [r for r in rules() if not _mismatch(r, record)]
    left_out = {find(key).code for key in ignore}
    return attribute(
        Diagnosis(
            tuple(_apply(r, record) for r in rules() if r in chosen and r.code not in left_out)
        )
    )


def _mismatch(rule: Rule, record: Record) -> str:
    """Why a rule has nothing to look at in a Record of this kind."""
    if rule.family == "checkpoint":
        return "" if isinstance(record, Audit) else "no checkpoint was read"
    return "a checkpoint says nothing of a pass" if isinstance(record, Audit) else ""


def _apply(rule: Rule, record: Record) -> RuleOutcome:
    reason = _mismatch(rule, record) or missing(rule.needs, record)
    if reason:
        return RuleOutcome(rule.code, rule.name, skipped=reason)
    try:
        found = rule.check(record)
    except Exception as error:
        return RuleOutcome(
            rule.code, rule.name, skipped=f"the rule failed: {type(error).__name__}: {error}"
        )
    if isinstance(found, Skipped):
        return RuleOutcome(rule.code, rule.name, skipped=found.reason)
    return RuleOutcome(rule.code, rule.name, findings=tuple(found))
