"""Run by the tests in a process of its own: forks ranks that meet over gloo, and hands back what
each of them found. One launch runs every case of its world size.

    python ranks.py WORLD_SIZE FOLDER CASES...

Each case is a function in ``sharded_cases.py`` that is called with no arguments on every rank.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.fsdp
import torch.distributed.tensor

sys.path.insert(0, str(Path(__file__).parent))
import sharded_cases


def main() -> None:
    world, folder, names = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(1)
    children = []
    for rank in range(world):
        child = os.fork()  # torch is imported once; no thread has been started yet
        if child == 0:
            os._exit(_rank(rank, world, folder, names))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, codes)))


def _rank(rank: int, world: int, folder: Path, names: list[str]) -> int:
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
        )
        found = {name: getattr(sharded_cases, name)() for name in names}
        (folder / f"{rank}.json").write_text(json.dumps(found))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


if __name__ == "__main__":
    main()
