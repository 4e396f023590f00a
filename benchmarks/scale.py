"""Initialisation at scale: a checkpoint straight to disk, and what each of many ranks has to do.

    python benchmarks/scale.py [--billions 7] [--folder DIR] [--rounds 1]

Writes a Llama of so many billion parameters in bfloat16, takes the time and the peak memory, and
compares with `dd` of the same bytes on the same disk and with filling the same tensors in memory,
by turns in the same run; the medians of the rounds count. Then plays single ranks of sharded
models, and says what larger models cost.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GIB = 2**30


def llama(billions):
    """A configuration of about so many billion parameters, in the proportions of Llama 2 7B."""
    layers, width = (32, 4096) if billions >= 5 else (16, 2048) if billions >= 0.7 else (8, 1024)
    inner = int(width * 2.6875)
    head = 2 * 32000 * width
    layers = max(1, round((billions * 1e9 - head) / (4 * width**2 + 3 * width * inner)))
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 128,
        "num_key_value_heads": width // 128,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    }


def planned_job(config, folder):
    """The job of `evenflow init hf:config.json --out folder --dtype bf16`."""
    import torch

    import evenflow as ef
    from evenflow.checkpoint.write import job_for
    from evenflow.integrations.transformers import config_file, from_config, synthetic_inputs
    from evenflow.torch.checkpoint_items import items_of
    from evenflow.torch.weightless import weightless

    bare = from_config(str(config), 0, meta=True)
    plan = ef.plan(bare, synthetic_inputs(bare, 0))
    with weightless():
        model = from_config(str(config), 0)
    items = items_of(plan, model, torch.bfloat16)
    return job_for(items, folder, seed=0, beside={"config.json": config_file(model)})


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(work):
    """Seconds on the clock and of processors that ``work`` takes."""
    before, started = os.times(), time.perf_counter()
    work()
    taken, after = time.perf_counter() - started, os.times()
    return taken, after.user + after.system - before.user - before.system


def write_in_child(config, folder, jobs):
    """Plan, fill and write; prints what it took. A process of its own, whose memory is its own."""
    from transformers import LlamaForCausalLM  # noqa: F401

    from evenflow.checkpoint.write import write_checkpoint
    from evenflow.sampling import kernels  # noqa: F401

    imports, started = peak(), time.perf_counter()
    job = planned_job(config, folder)
    planning = time.perf_counter() - started
    fill, fill_cpu = timed(lambda: fill_only(job, jobs))
    writing, writing_cpu = timed(lambda: write_checkpoint(job, jobs=jobs))
    report = {
        "bytes": sum(part.size for part in job.parts),
        "planning": planning,
        "fill": fill,
        "fill_cpu": fill_cpu,
        "writing": writing,
        "writing_cpu": writing_cpu,
        "imports": imports,
        "peak": peak(),
    }
    print(json.dumps(report))


def in_child(config, folder, jobs):
    command = [sys.executable, __file__, "--child", str(config), str(folder), str(jobs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def dd(folder, size):
    """Seconds that `dd` needs to put as many of the same bytes on the disk, 1 GB at a time.

    They come from a piece of the checkpoint that lies in memory: nothing but writing counts.
    """
    part, piece = sorted(folder.glob("*.safetensors"))[0], folder.parent / "piece"
    with part.open("rb") as source, piece.open("wb") as target:
        target.write(source.read(10**9))
    piece.read_bytes()
    taken = 0.0
    for k in range(max(1, round(size / piece.stat().st_size))):
        copy = folder.parent / f"copy{k}"
        command = ["dd", f"if={piece}", f"of={copy}", "bs=16M", "conv=fsync"]
        started = time.perf_counter()
        subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
        taken += time.perf_counter() - started
        copy.unlink()
    return taken


def fill_only(job, jobs):
    """Make the same values and keep none: pieces of the same size, as many threads."""
    import numpy as np

    from evenflow.checkpoint.part_file import PIECE, Maker

    makers = [(part, Maker(part)) for part in job.parts]
    queue = iter([(p, m, b) for p, m in makers for b in range(0, p.size, PIECE)])

    def work():
        buffer = np.empty(PIECE, np.uint8)
        for part, make, begin in queue:
            make(begin, buffer[: min(PIECE, part.size - begin)])

    with ThreadPoolExecutor(jobs) as pool:
        for each in [pool.submit(work) for _ in range(jobs)]:
            each.result()


def to_disk(billions, parent, jobs, rounds):
    found, copies = [], []
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        config = folder / "config.json"
        config.write_text(json.dumps(llama(billions)))
        for _ in range(rounds):
            found.append(in_child(config, folder / "out", jobs))
            copies.append(dd(folder / "out", found[-1]["bytes"]))
            shutil.rmtree(folder / "out")
    one = {key: statistics.median(each[key] for each in found) for key in found[0]}
    size, raw = one["bytes"], statistics.median(copies)
    print(
        f"{size / 2e9:.2f} billion parameters, {size / 1e9:.1f} GB of bfloat16, {jobs} threads, "
        f"load {os.getloadavg()[1]:.1f}\n"
    )
    print("                            s      MB/s   processor-s a GB")
    for said, seconds, cpu in (
        ("writing", one["writing"], one["writing_cpu"]),
        ("fill, nothing written", one["fill"], one["fill_cpu"]),
        ("dd of the same bytes", raw, None),
    ):
        tail = "" if cpu is None else f"{cpu / size * 1e9:12.2f}"
        print(f"{said:22} {seconds:8.1f} {size / seconds / 1e6:8.0f} {tail}")
    print(f"\nplanning took {one['planning']:.1f} s; writing reaches")
    print(f"  {one['fill'] / one['writing']:.0%} of the fill, {raw / one['writing']:.0%} of dd, "
          f"{max(raw, one['fill']) / one['writing']:.0%} of the slower")  # fmt: skip
    beyond = (one["peak"] - one["imports"]) / GIB
    print(f"peak memory {one['peak'] / GIB:.2f} GiB, {beyond:.2f} GiB beyond the imports\n")


def rank_seconds(shape, ranks, axis, repeats):
    """Seconds that one thread needs for the part of one rank, the median over several ranks."""
    import numpy as np

    from evenflow.planning.distributions import Normal
    from evenflow.sampling import fill
    from evenflow.torch.shards import Cut, interval

    taken = []
    for rank in {0, ranks // 3, ranks // 2, ranks - 1}:
        begin, end = interval(shape[axis], [Cut(ranks, rank)])
        start = tuple(begin if a == axis else 0 for a in range(2))
        extent = tuple(end - begin if a == axis else n for a, n in enumerate(shape))
        out = np.zeros(extent, np.uint16)
        for _ in range(repeats):
            started = time.perf_counter()
            fill(out, Normal(0.02), seed=0, name="w", shape=shape, start=start, dtype="bfloat16",
                 threads=1)  # fmt: skip
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def ranks():
    """Cost per rank × ranks, for one large matrix; returns seconds a value of one thread."""
    shape = (8192, 8192)
    whole = rank_seconds(shape, 1, 0, 5)
    print(f"one {shape[0]} × {shape[1]} matrix in bfloat16, one thread a rank: {whole:.3f} s whole")
    print("ranks   cut         s per rank   × ranks ÷ whole")
    for count in (2, 8, 64, 512, 1000):
        for axis, said in ((0, "rows"), (1, "columns")):
            each = rank_seconds(shape, count, axis, 5)
            print(f"{count:5}   {said:8} {each:13.5f} {each * count / whole:17.2f}")
    print()
    return whole / (shape[0] * shape[1])


def extrapolate(seconds_per_value):
    print(f"filling larger models at {1e-9 / seconds_per_value:.2f}·10⁹ values/s a rank, one "
          "thread each")  # fmt: skip
    print("parameters   ranks   values a rank   s")
    for billions, counts in ((70, (8, 64, 512)), (405, (64, 512, 4096))):
        for count in counts:
            own = billions * 1e9 / count
            print(f"{billions:8} B {count:7} {own / 1e9:13.2f} B {own * seconds_per_value:6.1f}")


def main():
    if sys.argv[1:2] == ["--child"]:
        write_in_child(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--billions", type=float, default=7)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    to_disk(chosen.billions, chosen.folder, chosen.jobs, chosen.rounds)
    extrapolate(ranks())


if __name__ == "__main__":
    main()
