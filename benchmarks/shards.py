"""Real models, sharded and not: the same initial bits, and the same losses over 20 steps.

    python benchmarks/shards.py [--ranks 4]

GPT-2 small and a Llama of 200 million parameters are planned on the meta device, sharded by FSDP2
over gloo ranks on this machine, given memory, initialised, and trained on their parts of a batch;
then once more in one process, unsharded, on the whole batch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import torch.distributed as dist
import transformers
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import evenflow as ef
from evenflow.planning.distributions import Constant

STEPS, TOKENS, SEED = 20, 32, 11
CONFIGURATIONS = {
    "GPT-2 small": transformers.GPT2Config(
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False
    ),
    "Llama, 200 M": transformers.LlamaConfig(
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=10,
        num_attention_heads=16,
        num_key_value_heads=16,
        vocab_size=32000,
        use_cache=False,
    ),
}


def built(name: str, device: str) -> torch.nn.Module:
    with torch.device(device):
        model: torch.nn.Module = transformers.AutoModelForCausalLM.from_config(CONFIGURATIONS[name])
    return model.train()


def plan_for(name: str) -> ef.Plan:
    ids = torch.zeros(2, TOKENS, dtype=torch.long, device="meta")
    plan = ef.plan(built(name, "meta"), {"input_ids": ids})
    if any(entry.distribution is None for entry in plan.entries.values()):
        plan["*norm.weight"] = Constant(1.0)  # scales that the plan leaves as found have no values
    return plan


def sharded(name: str, plan: ef.Plan) -> torch.nn.Module:
    """The way of large models: meta, shard, memory, values, buffers."""
    model = built(name, "meta")
    blocks = model.transformer.h if hasattr(model, "transformer") else model.model.layers
    for block in blocks:
        fully_shard(block)
    fully_shard(model)
    model.to_empty(device="cpu")
    plan.apply_(model, seed=SEED)
    left = ef.restore_buffers_(model).left
    assert not left, left
    return model


def digest(model: torch.nn.Module) -> str:
    """Of all parameters, gathered where they are sharded."""
    found = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        found.update(name.encode() + whole.detach().numpy().tobytes())
    return found.hexdigest()


def trained(model: torch.nn.Module, name: str, rank: int, ranks: int) -> list[float]:
    """Losses of ``STEPS`` steps; rank r of n sees every n-th sequence of each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    draw = torch.Generator().manual_seed(SEED)
    vocabulary = CONFIGURATIONS[name].vocab_size
    losses = []
    for _ in range(STEPS):
        batch = torch.randint(vocabulary, (4, TOKENS), generator=draw)[rank::ranks]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def run_rank(rank: int, ranks: int, folder: Path, name: str, plan: ef.Plan) -> None:
    """One of several processes, or the only one; the first leaves a report."""
    torch.set_num_threads(1)
    alone = ranks == 1
    if not alone:
        meeting = f"file://{folder}/meet"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    started = time.perf_counter()
    if alone:
        model = built(name, "cpu")
        plan.apply_(model, seed=SEED)
    else:
        model = sharded(name, plan)
    seconds = time.perf_counter() - started
    bits = digest(model)
    losses = torch.tensor(trained(model, name, rank, ranks))
    if not alone:
        dist.all_reduce(losses)
        losses /= ranks
    if rank == 0:
        report = {"bits": bits, "losses": losses.tolist(), "seconds": seconds}
        (folder / f"{ranks}.json").write_text(json.dumps(report))
    if not alone:
        dist.destroy_process_group()


def in_processes(ranks: int, folder: Path, name: str, plan: ef.Plan) -> dict[str, object]:
    """Fork the ranks from this process, which has imported everything and started no thread."""
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_rank(rank, ranks, folder, name, plan)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a rank failed")
    found: dict[str, object] = json.loads((folder / f"{ranks}.json").read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=4)
    ranks = parser.parse_args().ranks
    print(
        f"{STEPS} steps of AdamW on batches of 4 × {TOKENS} tokens, float32, {ranks} gloo ranks\n"
    )
    print("model          initial bits   loss first → last     greatest difference")
    for name in CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder:
            plan_file = Path(folder) / "plan.json"
            child = os.fork()
            if child == 0:  # planning starts threads, which do not live on in forked ranks
                plan_for(name).save(plan_file)
                os._exit(0)
            os.waitpid(child, 0)
            plan = ef.Plan.load(plan_file)
            one = in_processes(1, Path(folder), name, plan)
            many = in_processes(ranks, Path(folder), name, plan)
        pairs = list(zip(one["losses"], many["losses"], strict=True))
        worst = max(abs(a - b) / a for a, b in pairs)
        same = "equal" if one["bits"] == many["bits"] else "DIFFERENT"
        first, last = one["losses"][0], one["losses"][-1]
        print(f"{name:14} {same:14} {first:8.4f} → {last:8.4f}   {worst:.1e} of the loss")


if __name__ == "__main__":
    main()
