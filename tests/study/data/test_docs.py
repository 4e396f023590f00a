"""docs/data.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evenflow.study.data import load, names

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()


def test_every_data_set_has_its_row() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE, re.M) == list(names())


@pytest.mark.parametrize("name", ["shapeset", "shapeset-fixed"])
def test_rows_tell_what_is_loaded(name: str) -> None:
    data = load(name)
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
    assert f"{data.shape[0]}×{data.shape[1]} grey" in row
    assert f"{100 * data.prior_error:.2f} %" in row
    assert f"{len(data.validation.labels):,} / {len(data.test.labels):,}" in row


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    scope: dict[str, object] = {}
    exec(example, scope)
    assert scope["x"].shape == (10, 1024)  # type: ignore[attr-defined]
