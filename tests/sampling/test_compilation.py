"""When Numba is imported and where its compiled code is kept, seen from fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys

CALL = """
import sys
from evenflow.planning.distributions import Normal
from evenflow.sampling import sample
assert "numba" not in sys.modules, "imported too early"
print(sample(Normal(1.0), (2,), seed=0, name="w").tobytes().hex())
"""


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALL],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numba_comes_with_the_first_values_and_needs_no_cache() -> None:
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}  # finds no folder to write to
    assert run() == run(**nowhere)
