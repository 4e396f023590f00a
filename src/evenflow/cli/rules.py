"""``evenflow rules``: what a check looks for."""

from __future__ import annotations

import click


@click.command(short_help="List what a check and a watch look for.")
def rules() -> None:
    """List what a check, and a watch over a training, look for.

    Code, name, gravest level, and what is wrong.

    `evenflow explain CODE` tells all about one of them.
    """
    from evenflow.diagnose.training.registry import every_rule as known

    width = max(len(rule.name) for rule in known())
    family = ""
    for rule in known():
        if rule.family != family:
            click.secho(f"{'' if not family else chr(10)}{rule.family}", bold=True)
            family = rule.family
        click.echo(f"  {rule.code}  {rule.name:<{width}}  {rule.summary}")
