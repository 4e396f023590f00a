"""How level a plan keeps the networks of ``benchmarks/derive_models``, beside their defaults.

For each network the squared norm of an example at the outputs of its blocks (residual sums; where
there are none, of its weights), largest over smallest, measured over a few draws of the weights:
forwards, and of the gradients from a random unit cotangent at the outputs.

    python benchmarks/levels.py [--only NAME …] [--draws N]
"""

from __future__ import annotations

import argparse
import sys
from math import prod
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from benchmarks.derive import Measured, observe
from benchmarks.derive_models import Entry, load

from evenflow.graph.graph import Graph
from evenflow.planning.residual import residual_sums
from evenflow.planning.uses import uses
from evenflow.torch.api import plan
from evenflow.torch.apply import apply_
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace


def streams(graph: Graph) -> list[list[str]]:
    """Ends of blocks, stream by stream: residual sums; without any, outputs of weights."""
    readings = uses(graph)
    found: dict[str, list[str]] = {}
    for each in residual_sums(graph, readings):
        found.setdefault(each.stream, []).append(each.node)
    if found:
        return list(found.values())
    nodes = {use.node for each in readings.values() for use in each if use.fan_in}
    return [[n.name for n in graph.nodes if n.name in nodes and n.name != graph.outputs[0]]]


def spans(graph: Graph, found: Measured) -> tuple[float, float]:
    """Largest over smallest squared norm on any stream, forwards and backwards."""
    ahead, behind = (
        max(_span(graph, stream, values) for stream in streams(graph))
        for values in (found.forward, found.backward)
    )
    return ahead, behind


def _span(graph: Graph, stream: list[str], values: dict[str, list[float]]) -> float:
    norms = [
        prod(graph.shape(name)[1:]) * float(np.mean(values[name]))
        for name in stream
        if name in values and np.mean(values[name]) > 0
    ]
    return max(norms) / min(norms) if norms else 1.0


def measure(entry: Entry, scheme: str, draws: int) -> tuple[float, float, tuple[str, ...]]:
    torch.manual_seed(0)
    model, inputs = entry.build()
    call, parameters = Call.of(inputs), ModelParameters(model)
    planned: Any = plan(model, inputs, scheme) if scheme != "default" else None
    traced = trace(call, parameters)
    found = Measured()
    for draw in range(draws):
        if planned is not None:
            apply_(planned, model, draw)
        else:
            torch.manual_seed(1000 + draw)
            model.load_state_dict(entry.build()[0].state_dict())
        observe(traced, parameters, call, found, draw)
    return *spans(traced.graph, found), planned.notes if planned is not None else ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--notes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'network':26} {'auto: forwards':>15} {'backwards':>10}", end="   ")
    print(f"{'default:':>9} {'backwards':>10}")
    for name, entry in load().items():
        if options.only and name not in options.only and entry.family not in options.only:
            continue
        try:
            *ours, notes = measure(entry, "auto", options.draws)
            theirs = measure(entry, "default", options.draws)[:2]
        except Exception as error:  # one network that fails must not hide the others
            print(
                f"{name:26} {type(error).__name__}: {str(error).splitlines()[0][:90]}", flush=True
            )
            continue
        print(
            f"{name:26} {ours[0]:15.3g} {ours[1]:10.3g}   {theirs[0]:9.3g} {theirs[1]:10.3g}",
            flush=True,
        )
        if options.notes:
            for note in notes:
                print(f"    {note}")


if __name__ == "__main__":
    main()
