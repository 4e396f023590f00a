"""A long training: memory, size of the file, and how long its report takes to make.

A network of 50 layers is watched at every step, first in earnest, to see whether memory stays
level; the rest of the 200,000 samples are then written as the watch would write them.

python benchmarks/watch_long.py [samples]
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

import evenflow as ef
from evenflow.diagnose.training import diagnose_run
from evenflow.record.run_reader import read
from evenflow.record.run_schema import READINGS
from evenflow.record.run_sums import CELLS, QUANTITIES
from evenflow.record.run_writer import Sample
from evenflow.report.run import run_page

torch.set_num_threads(1)
DEPTH, REAL = 50, 1500


def memory() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = nn.Sequential(*(p for _ in range(DEPTH) for p in (nn.Linear(32, 32), nn.Tanh())))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(32, 32)
    with tempfile.TemporaryDirectory() as folder:
        with ef.watch(model, optimizer=optimizer, every=1, out=folder) as w:
            for step in range(REAL):
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                optimizer.step()
                w.step(loss=loss)
                if step in (REAL // 3, REAL - 1):
                    print(f"memory after {step + 1} watched steps: {memory():.0f} MB", flush=True)
            sizes = dict(zip(READINGS, (2 * DEPTH + 1, 2 * DEPTH + 1, 2 * DEPTH), strict=True))
            start = time.perf_counter()
            for step in range(REAL, samples):
                readings = {
                    name: (
                        rng.standard_normal((n, len(QUANTITIES))).astype(np.float32),
                        rng.integers(0, 4096, (n, CELLS)).astype(np.uint16),
                    )
                    for name, n in sizes.items()
                }
                w._writer.add_sample(Sample(step, {"loss": float(rng.normal(1, 0.1))}, readings))
                if (step + 1) % (samples // 4) == 0:
                    size = (Path(folder) / "run.sqlite").stat().st_size / 2**20
                    print(f"{step + 1} samples: {memory():.0f} MB of memory, file {size:.0f} MB")
            each = (time.perf_counter() - start) / max(1, samples - REAL)
            print(f"writing one sample: {1e3 * each:.2f} ms, random numbers included")
        size = sum(f.stat().st_size for f in Path(folder).iterdir()) / 2**20
        start = time.process_time()
        run = read(folder)
        page = run_page(run, diagnose_run(run))
        seconds = time.process_time() - start
        print(f"the folder: {size:.0f} MB; {len(run.steps)} samples left")
        print(f"report: {seconds:.1f} s of process time, {len(page) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
