"""``evenflow compare``: two trainings side by side."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Set two trainings that ef.watch recorded side by side.")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("comparison.html"),
    show_default=True,
    help="The page to write.",
)
def compare(first: Path, second: Path, out: Path) -> None:
    """Write a page that sets the runs in the folders FIRST and SECOND side by side."""
    from evenflow.atomic import write_text
    from evenflow.cli.console import console
    from evenflow.diagnose.training import diagnose_run
    from evenflow.record.run_reader import read
    from evenflow.report.run import compare_page

    runs = read(first), read(second)
    diagnoses = diagnose_run(runs[0]), diagnose_run(runs[1])
    write_text(out, compare_page(runs, diagnoses, (str(first), str(second))))
    console().print(f"The comparison: {out}", soft_wrap=True)
