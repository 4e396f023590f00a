"""A study's page, and the same numbers as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from evenflow._version import __version__
from evenflow.atomic import write_bytes, write_text
from evenflow.report.offline import offline_page
from evenflow.study.index import Failure
from evenflow.study.section import Section

_PACKAGES = ("torch", "numpy", "numba", "scikit-learn", "scipy")


def write_page(
    path: Path,
    *,
    name: str,
    title: str,
    lead: str,
    sections: Sequence[Section],
    failed: Sequence[Failure],
    command: str,
    notes: Sequence[str],
) -> None:
    """Write ``report.html`` and ``results.json`` into the folder ``path``."""
    charts = {
        picture.key: picture.chart
        for section in sections
        for picture in section.pictures
        if picture.chart is not None
    }
    page = offline_page(
        "study.html",
        title=title,
        charts=charts,
        versions=versions(),
        name=name,
        lead=lead,
        sections=sections,
        failed=failed,
        command=command,
        notes=notes,
    )
    write_text(path / "report.html", page)
    numbers = {
        "study": name,
        "command": command,
        "versions": versions(),
        "notes": list(notes),
        "exhibits": {
            section.name: {
                "numbers": section.data,
                "findings": [finding._asdict() for finding in section.findings],
                "scaled": list(section.scaled),
            }
            for section in sections
        },
        "failed": [failure._asdict() for failure in failed],
    }
    write_bytes(path / "results.json", msgspec.json.format(msgspec.json.encode(numbers)))


def versions() -> dict[str, str]:
    """Everything whose version may have a part in the numbers."""
    found = {"evenflow": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra that is not installed
            continue
    return found
