"""``evenflow study``: experiments that come with evenflow."""

from __future__ import annotations

from pathlib import Path

import click


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


@study.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder for its report.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
def run(name: str, out: Path, seed: int) -> None:
    """Run the study NAME; its report is printed, and written to a folder as HTML and JSON."""
    from evenflow.atomic import make_folder
    from evenflow.cli.console import console, print_report, progress_bars
    from evenflow.report import write
    from evenflow.study.registry import find

    chosen = find(name)
    make_folder(out)  # before the work, not after it
    with progress_bars() as progress:
        report = chosen.run(seed, progress)
    for form in ("json", "html"):
        write(report, out / f"report.{form}", form)
    print_report(report, "text")
    console().print(f"\nThe report: {out / 'report.html'}", soft_wrap=True)
