"""Trainings by one process and by several, each watched: folder.

Every process trains twice on its part of the same batches, unwatched and watched, and fails where
the weights differ. All are forked off this one, so that torch is imported once.
"""

import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import evenflow as ef
import evenflow.torch.watch  # before the processes part

BATCH, STEPS, CLIP = 16, 3, 0.2
KINDS = [("alone", 1), ("ddp", 2), ("ddp", 4), ("fsdp", 2), ("fsdp", 4)]


def main(folder):
    context = multiprocessing.get_context("fork")
    for kind, count in KINDS:
        place = folder / f"{kind}-{count}"
        place.mkdir()
        ranks = [context.Process(target=one, args=(r, count, kind, place)) for r in range(count)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
        assert all(rank.exitcode == 0 for rank in ranks), (kind, count)


def one(rank, count, kind, folder):
    torch.set_num_threads(1)
    if kind == "alone":
        twice(rank, count, kind, folder)
        return
    store, limit = f"file://{folder}/store", timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=count, timeout=limit)
    try:
        twice(rank, count, kind, folder)
    finally:
        dist.destroy_process_group()


def twice(rank, count, kind, folder):
    mine = slice(rank * BATCH // count, (rank + 1) * BATCH // count)
    weights = []
    for out in (None, folder / "run"):
        model = network(kind)
        torch.manual_seed(1)
        x, y = torch.randn(STEPS, BATCH, 6), torch.randint(0, 4, (STEPS, BATCH))
        train(model, x[:, mine], y[:, mine], out)
        weights.append([getattr(p, "to_local", lambda p=p: p)() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def network(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))
    if kind == "ddp":
        return DistributedDataParallel(model)
    if kind == "fsdp":
        for layer in (model[0], model[2], model):
            fully_shard(layer)
    return model


def train(model, x, y, out):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = ef.watch(model, optimizer=optimizer, every=1, out=out) if out else None
    if watch:
        watch.__enter__()
    for a, b in zip(x, y, strict=True):
        loss = nn.functional.cross_entropy(model(a), b)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        if watch:
            watch.step(loss=loss)
    if watch:
        watch.__exit__(None, None, None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
