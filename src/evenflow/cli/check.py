"""``evenflow check``: measure a network on a batch, and say what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evenflow.cli.again import command_line
from evenflow.cli.audited import PREFIX, audited
from evenflow.cli.target import TARGET_HELP, target_options

if TYPE_CHECKING:
    from evenflow.report.report import Report
    from evenflow.torch.targets import Target

_FORMATS = ("text", "json", "html", "sarif", "junit")
_BY_SUFFIX = {".json": "json", ".html": "html", ".sarif": "sarif", ".xml": "junit"}


def _codes(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Codes given one by one or with commas."""
    return [code.strip() for value in values for code in value.split(",") if code.strip()]


@click.command(
    epilog=TARGET_HELP, short_help="Measure TARGET on a batch and say what is wrong with it."
)
@target_options
@click.option(
    "--target",
    "target_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What the outputs should be: one array in a .npy, .npz or .safetensors file.",
)
@click.option(
    "--loss",
    metavar="NAME",
    help="cross_entropy, nll, mse, bce or bce_logits. Without a loss the gradients start from "
    "random numbers.",
)
@click.option(
    "--select",
    metavar="CODES",
    multiple=True,
    callback=_codes,
    help="Rules to apply, and no others.",
)
@click.option(
    "--ignore", metavar="CODES", multiple=True, callback=_codes, help="Rules to leave out."
)
@click.option(
    "--fail-on",
    type=click.Choice(["note", "warning", "error", "never"]),
    default="warning",
    show_default=True,
    help="The least level of a finding that makes the exit status 1.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="Form of the report.  [default: by the suffix of --out, otherwise text]",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file."
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The stored plan that a checkpoint was initialised with, to compare with.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with the signal profile in FILE; where there is none yet, store it.",
)
@click.option("--fix", is_flag=True, help="Try a plan on a copy, train both briefly, compare.")
@click.option(
    "--scheme", metavar="NAME", default="auto", show_default=True, help="The plan that --fix tries."
)
@click.pass_context
def check(
    ctx: click.Context,
    spec: str,
    inputs: str | None,
    seed: int,
    target_file: Path | None,
    loss: str | None,
    select: list[str],
    ignore: list[str],
    fail_on: str,
    form: str | None,
    out: Path | None,
    plan_file: Path | None,
    baseline: Path | None,
    fix: bool,
    scheme: str,
) -> None:
    """Measure one forward and one backward pass of TARGET on a batch, and diagnose it.

    The model is left as it was found, with --fix too.

    TARGET can also be checkpoint:DIR, a folder of safetensors files or one that
    torch.distributed.checkpoint saved: its tensors are measured by parts, and nothing is executed.
    """
    from evenflow.cli.console import console, in_terminal
    from evenflow.diagnose.registry import find

    form = form or _BY_SUFFIX.get(out.suffix if out else "", "text")
    if form == "html" and out is None and in_terminal():
        raise click.UsageError("a page is no use in a terminal: add --out report.html")
    for code in (*select, *ignore):
        find(code)
    rules: dict[str, Any] = {"select": select, "ignore": ignore}
    target = None
    if spec.startswith(PREFIX):
        if inputs or target_file or loss or fix or baseline:
            raise click.UsageError("a checkpoint is not run: leave --inputs and the like out")
        report = audited(spec, plan_file, **rules)
    elif plan_file is not None:
        raise click.UsageError("--plan is for a checkpoint: checkpoint:DIR")
    else:
        rules["seed"] = seed
        target, report = _measured(spec, inputs, target_file, loss, rules)
        if baseline is not None:
            from evenflow.cli.gate import gate

            again = partial(_measured, spec, inputs, target_file, loss)
            report = gate(report, baseline, lambda seed: again({**rules, "seed": seed})[1], seed)
    report = replace(report, command=command_line(ctx))
    if fix and not report.diagnosis.findings:
        console().print("Nothing was found, so there is nothing to fix.")
    elif fix and target is not None:
        report = _fixed(report, target, scheme, rules)
    _deliver(report, form, out)
    if fail_on != "never" and report.diagnosis.at_or_above(fail_on):  # type: ignore[arg-type]
        ctx.exit(1)


def _measured(
    spec: str,
    inputs: str | None,
    target_file: Path | None,
    loss: str | None,
    rules: dict[str, Any],
) -> tuple[Target, Report]:
    """The target, and the report on one pass of it."""
    from evenflow.cli.console import working
    from evenflow.cli.target import load
    from evenflow.torch import api
    from evenflow.torch.targets import read_target
    from evenflow.torch.train import seeded

    with working("checking"), seeded(rules["seed"]):
        target = load(spec, inputs, rules["seed"])
        if target_file is not None:
            target = replace(target, target=read_target(target_file))
        if loss is not None:
            target = replace(target, loss=loss)
        return target, api.check(target.model, target.inputs, target.target, target.loss, **rules)


def _fixed(report: Report, target: Target, scheme: str, rules: dict[str, Any]) -> Report:
    """The report with what a plan would change, and whether that helps."""
    from evenflow.cli.console import progress_bars
    from evenflow.planning.plan import rows
    from evenflow.report.report import PlanRow
    from evenflow.torch import api
    from evenflow.torch.fix import fix

    with progress_bars() as progress:
        plan = api.plan(target.model, target.inputs, scheme)
        comparison = fix(
            target.model,
            target.inputs,
            target.target,
            target.loss,
            data=target.data,
            scheme=scheme,
            progress=progress,
            **rules,
        )
    return replace(report, plan=tuple(PlanRow(*row) for row in rows(plan)), comparison=comparison)


def _deliver(report: Report, form: str, out: Path | None) -> None:
    """Print the report, or write it to a file and say so."""
    from evenflow.cli.console import console, print_report
    from evenflow.report import write
    from evenflow.report.verdict import verdict

    if out is None:
        print_report(report, form)
    else:
        write(report, out, form)
        console().print(f"{verdict(report).headline} Report written: {out}", soft_wrap=True)
