"""``evenflow explain``: all about one rule."""

from __future__ import annotations

import shutil
from textwrap import fill

import click


@click.command(short_help="Tell what a rule means, and what to do about it.")
@click.argument("code")
def explain(code: str) -> None:
    """Tell what the rule CODE (EF101, or its name) means, how it is measured, and the remedy."""
    from evenflow.diagnose.registry import among
    from evenflow.diagnose.training.registry import every_rule

    rule = among(every_rule(), code)
    width = min(shutil.get_terminal_size().columns, 88)
    click.secho(f"{rule.code} {rule.name} · {rule.family} · at most {rule.level}\n", bold=True)
    paragraphs = rule.explanation.split("\n\n")
    click.echo("\n\n".join(fill(text, width, break_on_hyphens=False) for text in paragraphs))
