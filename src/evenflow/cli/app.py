"""The command ``evenflow``: its verbs, defaults from pyproject.toml, and how errors are told."""

from __future__ import annotations

from typing import Any

import click

from evenflow._version import __version__
from evenflow.cli.check import check
from evenflow.cli.compare import compare
from evenflow.cli.defaults import defaults
from evenflow.cli.derive import derive
from evenflow.cli.explain import explain
from evenflow.cli.gain import gain
from evenflow.cli.init import init
from evenflow.cli.plan import plan
from evenflow.cli.report import report
from evenflow.cli.rules import rules
from evenflow.cli.study import study
from evenflow.cli.tail import tail
from evenflow.errors import EvenflowError


class _Refusal(click.ClickException):
    """An ``EvenflowError`` on the command line: one message, exit status 2."""

    exit_code = 2


class _Verbs(click.Group):
    """Verbs in the order of a day's work; evenflow's own errors end them with status 2."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EvenflowError as error:
            raise _Refusal(str(error)) from error


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="evenflow")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Initialise deep networks so that signals neither vanish nor explode.

    \b
      evenflow check model.py:build --inputs 64x784
      evenflow derive hf:llama
      evenflow plan hf:gpt2
      evenflow gain tanh

    Defaults for options can stand in pyproject.toml, in a table [tool.evenflow].

    Exit status: 0 clean, 1 findings at or above the level of --fail-on, 2 the command could not
    be carried out and changed nothing.
    """
    if isinstance(main, click.Group):
        ctx.default_map = defaults(main)


for verb in (check, derive, plan, init, report, tail, compare, gain, rules, explain, study):
    main.add_command(verb)
