"""A report in a file or as a string, in any of its formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from evenflow.atomic import write_bytes
from evenflow.errors import InputError
from evenflow.report.junit import to_junit
from evenflow.report.page import to_html
from evenflow.report.report import Report
from evenflow.report.sarif import to_sarif
from evenflow.report.structured import to_json
from evenflow.report.text import to_text

RENDERERS: dict[str, Callable[[Report], str]] = {
    "text": to_text,
    "json": to_json,
    "html": to_html,
    "sarif": to_sarif,
    "junit": to_junit,
}
FORMATS = tuple(RENDERERS)


def render(report: Report, format: str) -> str:
    """The report in one of ``FORMATS``; InputError for another."""
    if format not in RENDERERS:
        raise InputError(
            f"there is no report format {format!r}", remedy=f"choose one of {', '.join(FORMATS)}"
        )
    return RENDERERS[format](report)


def write(report: Report, path: str | os.PathLike[str], format: str) -> None:
    """Write the report to ``path`` as UTF-8, whole or not at all.

    Raises InputError for an unknown format, for a path that is a folder or a device, and where the
    folder cannot be written or is full; then nothing has changed and nothing is left behind.
    """
    target = Path(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise InputError(
            "this is no ordinary file", where=str(target), remedy="give the name of a file"
        )
    # Names from the user's files may hold bytes that are no text; the renderers escape them all.
    write_bytes(target, render(report, format).encode())
