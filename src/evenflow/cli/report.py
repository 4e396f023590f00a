"""``evenflow report``: make the page of a training that was watched."""

from __future__ import annotations

from pathlib import Path

import click

_FORMATS = ("html", "text")


@click.command(short_help="Make the page of a training that ef.watch recorded.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="html",
    show_default=True,
    help="A page, or words for the terminal.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: report.html in the run's folder; text is printed]",
)
def report(run: Path, form: str, out: Path | None) -> None:
    """Make the page of the training whose run is in the folder RUN, going on or finished.

    A run is what `ef.watch(model, out=RUN)` records.
    """
    from evenflow.atomic import write_text
    from evenflow.cli.console import console, in_terminal
    from evenflow.diagnose.training import diagnose_run
    from evenflow.record.run_reader import read
    from evenflow.record.run_schema import file_of
    from evenflow.report.run import run_page, run_text

    found = read(run)
    diagnosis = diagnose_run(found)
    title = f"{found.model} in {run}"
    if form == "text":
        text = run_text(found, diagnosis, title)
        if out is not None:
            write_text(out, text)
        elif in_terminal():
            from rich.console import Console

            from evenflow.report.run.text import run_renderable

            Console(highlight=False).print(run_renderable(found, diagnosis, title))
        else:
            click.echo(text, nl=False)
        return
    target = out or file_of(run).parent / "report.html"
    write_text(target, run_page(found, diagnosis, title))
    console().print(f"The report: {target}", soft_wrap=True)
