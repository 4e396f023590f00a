"""Eight devices: the same bits on any mesh, each device making its own part without the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("sharding_worker.py")
CHECKS = ("meshes", "packed", "communication", "initializers", "trees", "any_tensor")


@pytest.fixture(scope="module")
def printed() -> str:
    """What the checks print in a process of eight devices; the number is fixed when JAX starts."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(WORKER)],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("check", CHECKS)
def test_on_eight_devices(check: str, printed: str) -> None:
    assert f"{check}: held" in printed.splitlines()
