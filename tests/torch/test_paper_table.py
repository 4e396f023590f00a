"""The paper's networks at initialisation come out of ``check`` as expected, within 5 %."""

import importlib.util
import sys
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "benchmarks" / "paper_table.py"
_SPEC = importlib.util.spec_from_file_location("paper_table", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
paper_table = importlib.util.module_from_spec(_SPEC)
sys.modules["paper_table"] = paper_table
_SPEC.loader.exec_module(paper_table)


@pytest.mark.parametrize("case", paper_table.EXPECTED, ids=" ".join)
def test_statistics_at_initialisation(case: tuple[str, str]) -> None:
    runs = [paper_table.measured(*case, seed) for seed in (0, 1)]
    for quantity, expected in paper_table.EXPECTED[case].items():
        values = [sum(pair) / 2 for pair in zip(*(r[quantity] for r in runs), strict=True)]
        assert values == pytest.approx(expected, rel=0.05), quantity
