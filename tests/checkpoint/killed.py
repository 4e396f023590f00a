"""Run by the tests: writes a checkpoint in peace, in ``FOLDER/whole``, and one that is killed TIMES
times on the way, in ``FOLDER/killed``. Prints how many files each kill left behind.

    python killed.py FOLDER TIMES
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from examples import SEED, drawn, items

from evenflow.checkpoint.write import job_for, write_checkpoint
from evenflow.planning.distributions import TruncatedNormal
from evenflow.sampling import sample

LAYERS = [drawn(f"layer.{k}", (1000, 1500), TruncatedNormal(0.02)) for k in range(24)]


def write(folder):
    job = job_for([*items(), *LAYERS], folder, seed=SEED, max_shard_size=3_000_000)
    return write_checkpoint(job, jobs=2)


def whole_files(folder):
    return sorted(p for p in folder.glob("*") if not p.name.startswith("."))


def main():
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    whole, killed, draw = folder / "whole", folder / "killed", random.Random(0)
    for item in items():  # loads the kernels before any process is forked
        if not isinstance(item.source, bytes):
            sample(item.source.distribution, item.shape, seed=0, name="", dtype=item.source.dtype)
    child = os.fork()
    if child == 0:
        started = time.perf_counter()
        write(whole)
        (folder / "took").write_text(str(time.perf_counter() - started))
        os._exit(0)
    os.waitpid(child, 0)
    took = float((folder / "took").read_text())
    expected = {path.name: path.read_bytes() for path in whole_files(whole)}
    for _ in range(times):
        child = os.fork()
        if child == 0:
            write(killed)
            os._exit(0)
        time.sleep(draw.uniform(0, took / 4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left = whole_files(killed)
        for path in left:
            assert path.read_bytes() == expected[path.name], path
        print(len(left), "of", len(expected), flush=True)
    again = write(killed)
    assert {path.name: path.read_bytes() for path in killed.iterdir()} == expected
    print("kept", len(again.kept), "of", len(again.kept) + len(again.files))


if __name__ == "__main__":
    main()
