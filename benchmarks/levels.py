"""How level a plan keeps the networks of ``benchmarks/derive_models``, beside their defaults.

For each network the squared norm of an example at the ends of its blocks, largest over smallest,
measured over a few draws of the weights: forwards, and of the gradients from a random unit
cotangent at the outputs; and measured over what the plan's derivation for these inputs says.

    python benchmarks/levels.py [--only NAME …] [--draws N] [--notes]
"""

from __future__ import annotations

import argparse
import math
import re
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
from evenflow.planning.stages import chains, stages
from evenflow.planning.uses import uses
from evenflow.torch.api import plan
from evenflow.torch.apply import apply_
from evenflow.torch.derive import derive
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.trace import trace

Pair = tuple[float, float]


def spans(graph: Graph, found: Measured) -> Pair:
    """Largest over smallest squared norm over any blocks that lead to one another, both ways."""
    readings = uses(graph)
    known = stages(graph, readings, residual_sums(graph, readings))
    blocks = [[name for place in chain for name in known[place].outputs] for chain in chains(known)]
    ahead, behind = (
        max((_span(graph, names, values) for names in blocks), default=1.0)
        for values in (found.forward, found.backward)
    )
    return ahead, behind


def _span(graph: Graph, names: list[str], values: dict[str, list[float]]) -> float:
    norms = [
        prod(graph.shape(name)[1:]) * float(np.mean(values[name]))
        for name in names
        if name in values and np.mean(values[name]) > 0
    ]
    return max(norms) / min(norms) if norms else 1.0


def printed(notes: tuple[str, ...]) -> Pair:
    """The price that the last of some notes names."""
    number = r"×([0-9.e+-]+)"
    for note in reversed(notes):
        if found := re.search(rf"an example ranges {number}.* its gradient {number}", note):
            return float(found[1]), float(found[2])
    return math.nan, math.nan


def measure(entry: Entry, scheme: str, draws: int) -> tuple[Pair, tuple[str, ...]]:
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
    notes = derive(model, inputs, planned).notes if planned is not None else ()
    return spans(traced.graph, found), notes


def row(entry: Entry, draws: int, *, notes: bool) -> str:
    (ahead, behind), said_of_it = measure(entry, "auto", draws)
    theirs = measure(entry, "default", draws)[0]
    said = printed(said_of_it)
    line = (
        f"{ahead:10.3g} {ahead / said[0]:8.2f} {behind:11.3g} {behind / said[1]:8.2f}   "
        f"{theirs[0]:9.3g} {theirs[1]:10.3g}"
    )
    return "\n    ".join([line, *(said_of_it if notes else ())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--notes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'network':26} {'auto: fwd':>10} {'/ said':>8} {'backwards':>11} {'/ said':>8}", end="   "
    )
    print(f"{'default:':>9} {'backwards':>10}")
    for name, entry in load().items():
        if options.only and name not in options.only and entry.family not in options.only:
            continue
        try:
            line = row(entry, options.draws, notes=options.notes)
        except Exception as error:  # one network that fails must not hide the others
            line = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
        print(f"{name:26} {line}", flush=True)


if __name__ == "__main__":
    main()
