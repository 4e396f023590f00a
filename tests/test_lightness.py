"""``import evenflow`` and the framework-free rooms load no framework, and this test can fail."""

import subprocess
import sys

import pytest

HEAVY = "('torch', 'transformers', 'jax', 'keras', 'numba', 'scipy', 'altair')"


def loaded_by(statement: str) -> str:
    """Names of the heavy packages that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_importing_evenflow_loads_nothing_heavy() -> None:
    assert loaded_by("import evenflow as ef; ef.Plan; ef.EvenflowError") == ""


@pytest.mark.parametrize("room", ["theory.gain", "planning.build", "sampling", "report.report"])
def test_rooms_without_a_framework_load_none(room: str) -> None:
    assert "torch" not in loaded_by(f"import evenflow.{room}").split()


def test_jax_needs_no_pytorch() -> None:
    loaded = loaded_by("import evenflow.jax").split()
    assert "jax" in loaded
    assert not {"torch", "keras"} & set(loaded)


def test_the_check_can_fail() -> None:
    assert loaded_by("import scipy") == "scipy"


def test_torch_is_loaded_when_it_is_used() -> None:
    assert "torch" in loaded_by("import evenflow as ef; ef.plan").split()
