"""A study that is killed twenty times at random ends with the numbers of one that was not.

    python benchmarks/study_kills.py [--kills 20] [--seed 0]

Runs Table 1 of glorot2010 on Shapeset at the smallest scale, once in peace and once under SIGKILL
at random moments, started again each time, and compares every array of every result, bit by bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from evenflow.study.arrays import read_arrays

STUDY = """
from evenflow.cli import main
from evenflow.study import work
work.SAVE_EVERY = 0.2  # so that most kills come between two checkpoints, not before the first
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--updates", type=int, default=6000)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, rough = Path(folder) / "calm", Path(folder) / "rough"
        start(calm, arguments.updates).wait()
        kills = 0
        while kills < arguments.kills:
            process = start(rough, arguments.updates)
            try:
                process.wait(moments.uniform(1, 8))
                break  # done before it could be killed
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
        while start(rough, arguments.updates).wait() != 0:
            time.sleep(1)
        print(f"killed {kills} times; {compare(calm, rough)}")


def start(folder: Path, updates: int) -> subprocess.Popen[bytes]:
    """The study, as a process group of its own."""
    words = ["study", "run", "glorot2010", "--scale", "smoke", "--updates", str(updates)]
    words += ["--only", "table1", "--data-sets", "shapeset", "--out", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", STUDY, *words], start_new_session=True, stderr=subprocess.DEVNULL
    )


def compare(calm: Path, rough: Path) -> str:
    """Whether both folders have the same results; ends the program if not."""
    arrays = 0
    for result in sorted(calm.glob("trials/*/result.safetensors")):
        first = read_arrays(result)[0]
        second = read_arrays(rough / result.relative_to(calm))[0]
        if first.keys() != second.keys():
            sys.exit(f"{result.parent.name}: other arrays")
        for key, value in first.items():
            if not np.array_equal(value, second[key], equal_nan=value.dtype.kind == "f"):
                sys.exit(f"{result.parent.name}: {key} differs")
            arrays += 1
    return f"all {arrays} arrays of all results are equal bit by bit"


if __name__ == "__main__":
    main()
