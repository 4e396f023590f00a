"""Several processes: their statistics are those of the whole batch, and one of them writes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

from evenflow.record.run_reader import read

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
PROCESS = Path(__file__).with_name("process.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of all ways to train; every process has checked that its weights did not notice."""
    place = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [sys.executable, str(PROCESS), str(place)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WatchWarning" not in done.stderr
    return place


@pytest.mark.parametrize(("kind", "count"), [("ddp", 2), ("ddp", 4), ("fsdp", 2), ("fsdp", 4)])
def test_processes_record_what_one_would(folder, kind, count):
    together, alone = read(folder / f"{kind}-{count}" / "run"), read(folder / "alone-1" / "run")
    assert [layer.name for layer in together.layers] == [layer.name for layer in alone.layers]
    assert [w.name for w in together.weights] == [w.name for w in alone.weights]
    np.testing.assert_allclose(together.loss, alone.loss, rtol=1e-4)
    np.testing.assert_allclose(together.norm_after, alone.norm_after, rtol=1e-3)
    np.testing.assert_allclose(together.norm_before, alone.norm_before, rtol=1e-3)
    assert (alone.norm_after < 0.6 * alone.norm_before).all()
    for quantity in ("mean", "second_moment", "minimum", "maximum", "saturated_share"):
        np.testing.assert_allclose(
            together.forward[quantity], alone.forward[quantity], rtol=1e-3, atol=1e-6
        )
    for quantity in ("second_moment", "update_ratio", "weight_rms"):
        np.testing.assert_allclose(
            together.gradients[quantity], alone.gradients[quantity], rtol=1e-2
        )
    # Each process takes the mean over its own part of the batch: its gradients are larger.
    np.testing.assert_allclose(
        together.backward["second_moment"][:, 1:],
        alone.backward["second_moment"][:, 1:] * count**2,
        rtol=1e-3,
    )
