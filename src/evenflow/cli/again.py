"""The command that makes a report again."""

from __future__ import annotations

import shlex

import click
from click.core import ParameterSource


def command_line(ctx: click.Context) -> str:
    """The command line as it was given, but for where the report goes: it makes it again."""
    words = ["evenflow", str(ctx.info_name)]
    for parameter in ctx.command.params:
        name = str(parameter.name)
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in ("out", "form"):
            continue
        value = ctx.params[name]
        for each in value if isinstance(value, list) else [value]:
            flag = [parameter.opts[-1]] if isinstance(parameter, click.Option) else []
            words += flag if each is True else [*flag, str(each)]
    return shlex.join(words)
