"""What a derivation costs: against depth, against width, and for Llama-3-70B's configuration.

Models live on the meta device. Tracing (torch.export and reading its graph) and the calculus are
timed apart, in processor seconds, which on a quiet machine are those of the clock: both run on one
thread. ``--picture`` draws docs/images/derive_cost.svg.

    python benchmarks/derive_cost.py [--depths N …] [--widths N …] [--runs N] [--picture]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evenflow.torch.derive import derive_traced
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace

SEVENTY = {"depth": 80, "width": 8192, "heads": 64, "groups": 8, "hidden": 28672}


def llama(depth: int, width: int, heads: int = 0, groups: int = 0, hidden: int = 0) -> Any:
    config = LlamaConfig(
        num_hidden_layers=depth,
        hidden_size=width,
        num_attention_heads=heads or width // 64,
        num_key_value_heads=groups or width // 64,
        intermediate_size=hidden or 4 * width,
        vocab_size=128256,
        max_position_embeddings=8192,
    )
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def cost(model: Any) -> tuple[float, float, float, int]:
    """Seconds of tracing, of the calculus, of everything; and the number of operations."""
    tokens = torch.zeros(2, 64, dtype=torch.long, device="meta")
    call, parameters = Call.of({"input_ids": tokens, "use_cache": False}), ModelParameters(model)
    started = time.process_time()
    traced = trace(call, parameters)
    middle = time.process_time()
    derivation = derive_traced(traced, parameters, call)
    ended = time.process_time()
    assert derivation.graph.outputs[0] in derivation.forward
    return middle - started, ended - middle, ended - started, len(traced.graph.nodes)


def median(model: Any, runs: int) -> tuple[float, ...]:
    found = [cost(model) for _ in range(runs)]
    return tuple(statistics.median(column) for column in zip(*found, strict=True))


def show(name: str, operations: float, *seconds: float) -> None:
    print(
        f"{name:28} {operations:10.0f} " + " ".join(f"{each:9.2f}" for each in seconds), flush=True
    )


def picture(rows: list[dict[str, float]], path: Path) -> None:
    import altair as alt

    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            alt.X("depth:Q", title="blocks").scale(type="log", base=2).axis(grid=False),
            alt.Y("seconds:Q", title="seconds")
            .scale(type="log")
            .axis(values=[0.01, 0.1, 1, 10, 100]),
            alt.Color("part:N", title=None),
        )
        .properties(width=420, height=260, title="Cost of a derivation against depth, width 1024")
    )
    chart.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="*", default=[2, 8, 32, 128])
    parser.add_argument("--widths", type=int, nargs="*", default=[512, 2048, 8192])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--picture", action="store_true")
    options = parser.parse_args()
    print(f"{'network':28} {'operations':>10} {'tracing':>9} {'calculus':>9} {'both':>9}  seconds")
    median(llama(1, 512), 1)  # imports and caches
    rows = []
    for depth in options.depths:
        tracing, calculus, both, operations = median(llama(depth, 1024), options.runs)
        show(f"{depth:4} blocks of width 1024", operations, tracing, calculus, both)
        rows += [
            {"depth": depth, "seconds": tracing, "part": "tracing"},
            {"depth": depth, "seconds": calculus, "part": "calculus"},
        ]
    for width in options.widths:
        tracing, calculus, both, operations = median(llama(8, width), options.runs)
        show(f"   8 blocks of width {width}", operations, tracing, calculus, both)
    tracing, calculus, both, operations = median(llama(**SEVENTY), options.runs)
    show("Llama-3-70B", operations, tracing, calculus, both)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak resident memory of all of this: {peak:.2f} GiB")
    if options.picture:
        picture(rows, Path(__file__).parents[1] / "docs/images/derive_cost.svg")


if __name__ == "__main__":
    main()
