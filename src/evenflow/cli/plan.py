"""``evenflow plan``: decide how to initialise a model, and write nothing into it."""

from __future__ import annotations

from pathlib import Path

import click

from evenflow.cli.target import TARGET_HELP, residual_option, target_options


@click.command(epilog=TARGET_HELP, short_help="Decide how to initialise TARGET, and say why.")
@target_options
@click.option(
    "--scheme", metavar="NAME", default="auto", show_default=True, help="Rule from fans and gains."
)
@residual_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the plan as JSON, to edit and to apply with init --plan.",
)
def plan(
    spec: str, inputs: str | None, seed: int, scheme: str, residual: str | None, out: Path | None
) -> None:
    """Decide how to initialise TARGET: a distribution for every parameter, and the reason.

    The model itself is not changed.
    """
    from evenflow.cli.console import console, print_plan, working
    from evenflow.cli.target import load
    from evenflow.torch import api

    with working("planning"):
        target = load(spec, inputs, seed, meta=True)
        made = api.plan(target.model, target.inputs, scheme, residual=residual or "depth-scaled")
    if out is not None:
        made.save(out)
        console().print(f"Plan saved: {out}", soft_wrap=True)
    print_plan(made)
