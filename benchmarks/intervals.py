"""How many draws of a network's weights lie inside the printed 5 to 95 % intervals.

Small networks of ``benchmarks/derive_models`` are drawn again and again over one batch, with a new
random unit cotangent each time; of every tensor the share of draws inside its interval is counted,
forwards and backwards. Beside it stands the share that would be inside were every interval where
its draws are: what is missing there is its width's fault, the rest its centre's. ``width`` is the
standard deviation of the draws' logarithms over the predicted one, median over tensors. Those that
scatter less than derivations are right by (0.5 %) are left out.

    python benchmarks/intervals.py [--only NAME …] [--draws N] [--tensors]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from benchmarks.derive import drawn
from benchmarks.derive_models import load

SMALL = (
    *(f"{name}_perceptron" for name in ("tanh", "relu", "gelu", "silu", "sigmoid", "varying_norm")),
    *("siren", "physics_informed", "lenet", "lenet_on_pictures", "vgg11", "densenet", "resnet18"),
    *("lstm", "gru", "rnn_relu", "gpt2", "bert", "vit", "llama", "torch_transformer"),
)
_WIDTH = 2 * 1.6448536269514722
"""From the 5th to the 95th percentile of a normal law, in standard deviations."""
_STEADY = 0.005


@dataclass(frozen=True)
class Row:
    """One tensor in one direction."""

    name: str
    op: str
    inside: float
    """Share of draws inside."""
    centred: float
    """Share inside were the interval's middle that of the draws."""
    predicted: float
    """Standard deviation of the logarithm."""
    measured: float
    off: float
    """The interval's middle over that of the draws, as a logarithm."""


def rows(
    graph: Any, intervals: Mapping[str, tuple[float, float]], found: Mapping[str, list[float]]
) -> list[Row]:
    """Every tensor that was drawn and has an interval; steady ones left out."""
    made = []
    for node in graph.nodes:
        values = np.array(found.get(node.name, [0.0]))
        if node.name not in intervals or node.name in graph.values or not values.min() > 0:
            continue
        low, high = intervals[node.name]
        logs = np.log(values)
        if not np.isfinite(logs).all() or logs.std() < _STEADY or not low > 0:
            continue
        predicted = math.log(high / low) / _WIDTH
        off = math.log(high * low) / 2 - float(np.median(logs))
        inside = np.mean((values >= low) & (values <= high))
        shifted = logs + off
        centred = np.mean((shifted >= math.log(low)) & (shifted <= math.log(high)))
        op = node.activation.name if node.activation else node.op
        made.append(
            Row(node.name, op, float(inside), float(centred), predicted, float(logs.std()), off)
        )
    return made


def summary(found: list[Row]) -> str:
    """Shares inside: mean, were centres right, median, worst; widths: median."""
    if not found:
        return f"{'all steady':38}"
    worst = min(found, key=lambda row: row.inside)
    shares = [row.inside for row in found]
    width = np.median([row.measured / row.predicted for row in found])
    return (
        f"{np.mean(shares):4.0%} {np.mean([row.centred for row in found]):5.0%}"
        f" {np.median(shares):5.0%} {worst.inside:5.0%} {worst.name[:14]:14} {width:5.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--scheme", default="default")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--tensors", action="store_true", help="a line for each tensor too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = f"{'in':>4} {'cent.':>5} {'med.':>5} {'worst tensor':>20} {'width':>5}"
    print(f"{options.draws} draws; share inside, were centres right, median, worst; width off")
    print(f"{'network':26} {'tensors':>7} {'forwards:':9} {columns}  {'backwards:':10} {columns}")
    entries = load()
    for name in options.only or SMALL:
        started = time.perf_counter()
        derived, found, _ = drawn(entries[name], options.scheme, options.draws)
        forward = rows(derived.graph, derived.interval_forward, found.forward)
        backward = rows(derived.graph, derived.interval_backward, found.backward)
        for direction, rows_ in (("forward", forward), ("backward", backward)):
            for row in rows_ if options.tensors else ():
                print(
                    f"  {direction:8} {row.name:32} {row.op:20} {row.inside:5.0%}"
                    f" {row.centred:5.0%}  sd {row.measured:.4f} predicted {row.predicted:.4f}"
                    f"  centre {row.off:+.4f}"
                )
        print(
            f"{name:26} {len(found.forward):7d} {'':9} {summary(forward)}  {'':10}"
            f" {summary(backward)}  {time.perf_counter() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
