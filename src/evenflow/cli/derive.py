"""``evenflow derive``: second moments of every tensor of a model, without running it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from evenflow.cli.target import TARGET_HELP, residual_option, target_options


@click.command(
    epilog=TARGET_HELP, short_help="Derive what TARGET does to signals, without running it."
)
@target_options
@click.option(
    "--scheme",
    metavar="NAME",
    help="As this scheme would draw the weights.  [default: as they are]",
)
@residual_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="As this stored plan would draw the weights.",
)
@click.option(
    "--depth",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Parts of module names that the table tells apart.",
)
@click.option("--strict", is_flag=True, help="Refuse operations that have no rule.")
@click.option("--coverage", is_flag=True, help="Say only what share of operations is by rule.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with both profiles and every number's sentence.",
)
@click.pass_context
def derive(
    ctx: click.Context,
    spec: str,
    inputs: str | None,
    seed: int,
    scheme: str | None,
    residual: str | None,
    plan_file: Path | None,
    depth: int,
    strict: bool,
    coverage: bool,
    out: Path | None,
) -> None:
    """Derive the second moments of every tensor of TARGET, forwards and of its gradient backwards.

    Nothing is run: the graph decides. Transformers models need no memory. Gradients start from a
    unit cotangent at every output.
    """
    if scheme and plan_file is not None:
        raise click.UsageError("--plan already says it all: leave --scheme out")
    if residual and not scheme:
        raise click.UsageError("--residual is part of a scheme: name it by --scheme auto")
    from rich.console import Console

    from evenflow.cli.again import command_line
    from evenflow.cli.console import console, in_terminal, working
    from evenflow.cli.target import load
    from evenflow.planning.plan import Plan
    from evenflow.report.derivation.text import renderable, to_text, words_of_coverage
    from evenflow.torch import api
    from evenflow.torch.derive import derive as derive_model

    with working("deriving"):
        stored = Plan.load(plan_file) if plan_file is not None else None
        target = load(spec, inputs, seed, meta=True)
        if scheme:
            residual = residual or "depth-scaled"
            stored = api.plan(target.model, target.inputs, scheme, residual=residual)
        report = derive_model(target.model, target.inputs, stored, strict=strict)
    report = replace(report, command=command_line(ctx))
    if coverage:
        click.echo(words_of_coverage(report))
    elif in_terminal():
        Console(highlight=False).print(renderable(report, depth))
    else:
        click.echo(to_text(report, depth), nl=False)
    if out is not None:
        report.save(out)
        console().print(f"Page: {out}", soft_wrap=True)
