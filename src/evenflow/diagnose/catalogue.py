"""The page of all rules, made from their own explanations.

python -m evenflow.diagnose.catalogue > docs/rules.md
"""

from __future__ import annotations

import sys

from evenflow.diagnose.rule import Explained, Rule
from evenflow.diagnose.training.registry import every_rule

_HEAD = """# Rules

What `evenflow check` looks for (EF1xx to EF6xx), what `ef.watch` looks for in the course of a
training (EF7xx and EF8xx), and what `evenflow check --baseline` compares (EF901). A finding names
the layer, the number measured, the number expected and the change to make; where one finding
follows from another, it says so, and the root cause comes first. Levels: an **error** keeps the
network from learning, a **warning** probably hampers it, a **note** is worth knowing. A rule that
lacks what it needs is skipped, which is not passed. `evenflow explain CODE` prints one of the
explanations below.

What a rule may need: the signal's *path* (which operation reads which), *gradients* (a backward
pass), *examples* (at least two that differ), *activations* of the catalogue, a *loss* of a known
kind, floating-point *inputs*, a *plan* that a checkpoint was initialised with, *a training* that
`ef.watch` recorded, *a profile* that was stored.

This page is made by `python -m evenflow.diagnose.catalogue > docs/rules.md`.
"""


def page() -> str:
    """The page as Markdown: a table of all rules, then the explanation of each."""
    rows = [
        f"| [{rule.code}](#{_anchor(rule)}) | {rule.name} | {rule.family} | {rule.level} | "
        f"{_needs(rule)} | {rule.summary} |"
        for rule in every_rule()
    ]
    table = [
        "| code | name | looks at | gravest level | needs | what is wrong |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    sections = [_section(rule) for rule in every_rule()]
    return "\n".join([_HEAD, *table, "", *sections])


def _needs(rule: Explained) -> str:
    if isinstance(rule, Rule):
        return ", ".join(rule.needs) or "–"
    return "a profile" if rule.family == "baseline" else "a training"


def _section(rule: Explained) -> str:
    follows = f"\n\nMay explain: {', '.join(rule.explains)}." if rule.explains else ""
    return f"## {rule.code} {rule.name}\n\n{rule.explanation}{follows}\n"


def _anchor(rule: Explained) -> str:
    return f"{rule.code} {rule.name}".lower().replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(page())
