"""``evenflow study``: experiments that come with evenflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evenflow.study.registry import Paper, Study
    from evenflow.study.runner import Settings

_OF_A_PAPER = frozenset(
    ("scale", "only", "updates", "jobs", "engine", "address", "data", "data_sets", "device")
)
"""Options that a study of a single network does not have."""


@click.group()
def study() -> None:
    """List and run the experiments that come with evenflow."""


@study.command(name="list")
def list_() -> None:
    """Name every study."""
    from evenflow.study.registry import STUDIES

    width = max(map(len, STUDIES))
    for name, known in STUDIES.items():
        click.echo(f"{name:<{width}}  {known.summary}")


_out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder of its results.",
)


@study.command()
@click.argument("name")
@_out
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of main-job; 0 if not said.")
@click.option("--scale", metavar="NAME", help="smoke (minutes), small (a night) or paper.")
@click.option(
    "--only", metavar="NAMES", help="Figures and tables, with commas: fig2,table1. All by default."
)
@click.option(
    "--updates",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of every training, in place of the scale's own number.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Trainings at once; 1 if not said."
)
@click.option("--engine", metavar="NAME", help="local (joblib, the default) or ray.")
@click.option("--address", metavar="ADDRESS", help="Of a Ray cluster.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder that has the data sets' files.",
)
@click.option(
    "--data-sets",
    metavar="NAMES",
    help="Of the table, with commas; small-imagenet needs a tree of ImageNet, and a stand-in takes "
    "its place by default.",
)
@click.option("--device", metavar="NAME", help="cpu (the default) or cuda.")
@click.pass_context
def run(ctx: click.Context, /, name: str, out: Path, seed: int | None, **_options: object) -> None:
    """Run the study NAME and write its report to a folder.

    A study of a paper goes on from what the folder has: nothing finished is computed again, Ctrl-C
    loses nothing, and several processes may work on one folder.
    """
    from evenflow.errors import InputError
    from evenflow.study.registry import Study, find

    chosen = find(name)
    given = {key: ctx.params[key] for key in sorted(_OF_A_PAPER) if ctx.params[key] is not None}
    alien = list(given) if isinstance(chosen, Study) else ["seed"] * (seed is not None)
    if alien:
        raise InputError(f"the study {name} has no option --{alien[0].replace('_', '-')}")
    if isinstance(chosen, Study):
        _check(chosen, out, seed or 0)
    else:
        _reproduce(ctx, chosen, name, out)


def _check(chosen: Study, out: Path, seed: int) -> None:
    """A study of one network: its report is printed, and written as HTML and JSON."""
    from evenflow.atomic import make_folder
    from evenflow.cli.console import console, print_report, progress_bars
    from evenflow.report import write

    make_folder(out)  # before the work, not after it
    with progress_bars() as progress:
        report = chosen.run(seed, progress)
    for form in ("json", "html"):
        write(report, out / f"report.{form}", form)
    print_report(report, "text")
    console().print(f"\nThe report: {out / 'report.html'}", soft_wrap=True)


def _reproduce(ctx: click.Context, chosen: Paper, name: str, out: Path) -> None:
    """A paper: its trials, with progress, and its page; exit status 1 if a trial failed."""
    from evenflow.cli.console import console
    from evenflow.cli.study_progress import watching
    from evenflow.study.folder import Folder
    from evenflow.study.index import failures
    from evenflow.study.reproduction import Order
    from evenflow.study.runner import Stopped

    reproduction = chosen.load()
    given = ctx.params
    only, data_sets = _names(given["only"]), _names(given["data_sets"])
    order = Order(name, given["scale"] or "smoke", only, given["updates"], data_sets)
    reproduction.wanted(order)  # refuses unknown names before anything is written
    index = Folder(out).index
    try:
        with watching(index):
            reproduction.run(order, out, _settings(ctx))
    except Stopped:
        console().print(
            f"Stopped; nothing is lost. To go on:\n  {order.command(out, index.about('data'))}",
            soft_wrap=True,
        )
        ctx.exit(130)
    page = reproduction.report(order, out)
    failed = failures(index.rows())
    for failure in failed:
        words = f"failed: {failure.whose}: {failure.message}"
        console().print(words, soft_wrap=True, markup=False)
    console().print(f"The report: {page}", soft_wrap=True)
    ctx.exit(1 if failed else 0)


def _names(text: str | None) -> tuple[str, ...]:
    """Names given with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _settings(ctx: click.Context) -> Settings:
    from evenflow.study.runner import Settings

    given = ctx.params
    return Settings(
        jobs=given["jobs"] or 1,
        engine=given["engine"] or "local",
        address=given["address"],
        data_dir=None if given["data"] is None else str(given["data"]),
        device=given["device"] or "cpu",
    )


@study.command()
@_out
def status(out: Path) -> None:
    """Say how far the study in a folder has come."""
    from rich.console import Console

    from evenflow.cli.study_progress import table
    from evenflow.study.folder import Folder
    from evenflow.study.reproduction import remembered

    order = remembered(out)
    click.echo(f"{order.study} at scale {order.scale}")
    Console(highlight=False).print(table(Folder(out).index.rows()))


@study.command()
@_out
def report(out: Path) -> None:
    """Draw the page of a study again, from the results in its folder."""
    from evenflow.study.registry import Paper, find
    from evenflow.study.reproduction import remembered

    order = remembered(out)
    chosen = find(order.study)
    assert isinstance(chosen, Paper)  # no other study leaves a result folder
    click.echo(chosen.load().report(order, out))
