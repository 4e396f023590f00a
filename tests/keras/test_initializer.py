"""Keras on both backends that are at hand, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("keras_worker.py")
CHECKS = ("bits", "layouts", "layers", "saved", "seeds", "refusals", "page")


@pytest.fixture(scope="module", params=["torch", "jax"])
def printed(request: pytest.FixtureRequest) -> str:
    """What the checks print: Keras's backend is fixed when it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(WORKER)],
        env={**os.environ, "KERAS_BACKEND": request.param},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("check", CHECKS)
def test_on_a_backend(check: str, printed: str) -> None:
    assert f"{check}: held" in printed.splitlines()
