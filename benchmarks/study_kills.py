"""A study that is killed twenty times at random ends with the numbers of one that was not.

    python benchmarks/study_kills.py [--kills 20] [--seed 0]

Runs Table 1 of glorot2010 on Shapeset at the smallest scale, once in peace and once under SIGKILL
at random moments after it has got on, started again each time, and compares every array of every
result, bit by bit, and the table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
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
    parser.add_argument("--updates", type=int, default=20_000)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, rough = Path(folder) / "calm", Path(folder) / "rough"
        start(calm, arguments.updates).wait()
        kills = 0
        while kills < arguments.kills and killed(rough, arguments.updates, moments):
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


def killed(folder: Path, updates: int, moments: random.Random) -> bool:
    """Start the study and kill it up to a second after it next saved; False if it was done."""
    before = saved(folder)
    process = start(folder, updates)
    while process.poll() is None:
        if saved(folder) > before:
            time.sleep(moments.uniform(0, 1))
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait() != 0
        time.sleep(0.01)
    return False


def saved(folder: Path) -> int:
    """When the study last wrote down how far it is, in nanoseconds."""
    return max((stat.st_mtime_ns for stat in written(folder)), default=0)


def written(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.glob("trials/*/*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
            yield path.stat()


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
    first, second = (
        msgspec.json.decode((folder / "results.json").read_bytes())["exhibits"]
        for folder in (calm, rough)
    )
    if first != second:
        sys.exit("the tables differ")
    return f"all {arrays} arrays of all results are equal bit by bit, and so is the table"


if __name__ == "__main__":
    main()
