"""The theory stays light: what it imports, and when."""

import subprocess
import sys

import pytest

LISTING = "import sys; print([name for name in {heavy} if name in sys.modules])"


def loaded(statement: str, *heavy: str) -> str:
    code = f"{statement}\n{LISTING.format(heavy=list(heavy))}"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("module", ["activations", "gain", "maps", "constants"])
def test_importing_the_theory_loads_numpy_alone(module) -> None:
    statement = f"import evenflow.theory.{module}"
    assert loaded(statement, "torch", "numba", "scipy.special", "scipy.optimize") == "[]"


def test_this_test_can_fail() -> None:
    assert loaded("import evenflow.theory.gain, scipy.special", "scipy.special") != "[]"
