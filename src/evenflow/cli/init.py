"""``evenflow init``: initialise a model and write its weights to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from evenflow.cli.target import TARGET_HELP, target_options


@click.command(
    epilog=TARGET_HELP, short_help="Initialise TARGET and write its weights as safetensors."
)
@target_options
@click.option("--scheme", metavar="NAME", help="Rule from fans and gains.  [default: auto]")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Apply this stored plan instead of a scheme.",
)
@click.option(
    "--calibrate",
    type=click.Choice(["noise", "inputs"]),
    help="Correct for finite width on standard normal noise or on the inputs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The .safetensors file to write.",
)
def init(
    spec: str,
    inputs: str | None,
    seed: int,
    scheme: str | None,
    plan_file: Path | None,
    calibrate: Literal["noise", "inputs"] | None,
    out: Path,
) -> None:
    """Initialise TARGET and write its weights to a .safetensors file.

    Names are canonical: the same with and without DistributedDataParallel or torch.compile. A tied
    tensor is stored once; safetensors.torch.load_model puts it back under every name.
    """
    from evenflow.cli.console import console, print_plan, working
    from evenflow.cli.target import load
    from evenflow.planning.plan import Plan
    from evenflow.torch import api
    from evenflow.torch.weights_file import save_weights

    if plan_file is not None and (scheme or calibrate):
        raise click.UsageError("--plan already says it all: leave --scheme and --calibrate out")
    stored = Plan.load(plan_file) if plan_file is not None else None
    with working("initialising"):
        target = load(spec, inputs, seed)
        if stored is not None:
            applied = stored.apply_(target.model, seed)
        else:
            batch = target.inputs if calibrate == "inputs" else calibrate
            applied = api.init_(
                target.model, target.inputs, scheme or "auto", seed=seed, calibrate=batch
            )
        save_weights(target.model, out)
    print_plan(applied)
    console().print(f"Weights written: {out}", soft_wrap=True)
