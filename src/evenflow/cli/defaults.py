"""Defaults for options from the table [tool.evenflow] of the nearest pyproject.toml."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from evenflow.errors import InputError

_FILE = "pyproject.toml"


def defaults(group: click.Group) -> dict[str, dict[str, Any]]:
    """For each verb of ``group`` the defaults of its options, as click's ``default_map``.

    Looked up from the working directory upwards; the nearest file that has the table counts.
    Raises ``InputError`` for a file that can't be read, an unknown key, or a value that the
    option would refuse.
    """
    path, table = _table(Path.cwd())
    options = {verb: _options(command) for verb, command in group.commands.items()}
    known = {key for own in options.values() for key in own}
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise InputError(
                f"there is no option {key!r}",
                where=f"{path} [tool.evenflow]",
                remedy=(f"did you mean {close[0]}? " if close else "")
                + f"Known: {', '.join(sorted(known))}",
            )
    found: dict[str, dict[str, Any]] = {verb: {} for verb in options}
    for key, value in table.items():
        for verb, accepted in _accepting(options, key, value, path).items():
            found[verb][str(options[verb][key].name)] = accepted
    return found


def _accepting(
    options: dict[str, dict[str, click.Option]], key: str, value: Any, path: Path
) -> dict[str, Any]:
    """The verbs whose option takes the value: two verbs may offer different choices under one name.

    Raises ``InputError`` if none does.
    """
    taken: dict[str, Any] = {}
    refusals: list[InputError] = []
    for verb, own in options.items():
        if key in own:
            try:
                taken[verb] = _accepted(own[key], key, value, path)
            except InputError as error:
                refusals.append(error)
    if not taken:
        raise refusals[0]
    return taken


def _table(folder: Path) -> tuple[Path, dict[str, Any]]:
    for parent in (folder, *folder.parents):
        path = parent / _FILE
        if not path.is_file():
            continue
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"the file cannot be read: {error}", where=str(path)) from error
        table = content.get("tool", {}).get("evenflow")
        if isinstance(table, dict):
            return path, table
    return folder / _FILE, {}


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options of a verb by their names as written, without dashes in front."""
    return {
        option.opts[-1].lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option)
    }


def _accepted(option: click.Option, key: str, value: Any, path: Path) -> Any:
    """``value``, if the option takes it."""
    if option.multiple and isinstance(value, str):
        value = [value]
    try:
        option.type_cast_value(click.Context(click.Command(key)), value)
    except (click.BadParameter, TypeError) as error:
        said = error.message if isinstance(error, click.BadParameter) else str(error)
        raise InputError(
            f"the value of {key} cannot be used: {said}", where=f"{path} [tool.evenflow]"
        ) from error
    return value
