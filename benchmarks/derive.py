"""Derivations against real networks, over many draws of their weights.

For each network of ``benchmarks/derive_models``: root mean squares over draws, predicted against
measured, as |log ratio| over all floating-point tensors; forwards, and backwards from a random unit
cotangent at every output; and how often a draw lies inside its printed 5 to 95 % interval.

    python benchmarks/derive.py [--only NAME …] [--scheme default|auto] [--draws N] [--tensors]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from benchmarks.derive_models import Entry, load

from evenflow.graph.graph import Ref
from evenflow.graph.laws.law import Law, shape_of
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation, propagate
from evenflow.torch.api import plan as make_plan
from evenflow.torch.apply import apply_
from evenflow.torch.execute import run
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters
from evenflow.torch.preserve import preserved
from evenflow.torch.sampling import sampling
from evenflow.torch.trace import trace
from evenflow.torch.weights import input_moments, parameter_moments


@dataclass
class Measured:
    """Second moments of each tensor, a number for each draw."""

    forward: dict[str, list[float]] = field(default_factory=dict)
    backward: dict[str, list[float]] = field(default_factory=dict)
    cotangents: list[float] = field(default_factory=list)
    """Of the cotangents of each draw: gradients are proportional to them."""


@dataclass(frozen=True)
class Row:
    """One tensor: log ratios of root mean squares, predicted over measured, and their errors."""

    name: str
    op: str
    layer: str
    forward: float
    forward_error: float
    forward_inside: float
    backward: float
    backward_error: float
    backward_inside: float


def measure(entry: Entry, scheme: str, draws: int) -> tuple[Any, list[Row], float]:
    """The derivation, a row for each tensor, and the seconds that the calculus took."""
    derived, found, seconds = drawn(entry, scheme, draws)
    return derived, rows(derived.graph, derived, found), seconds


def drawn(entry: Entry, scheme: str, draws: int) -> tuple[Derivation, Measured, float]:
    """A network drawn many times over one batch: what was derived, what was measured, and the
    seconds that the calculus took."""
    torch.manual_seed(0)
    model, inputs = entry.build()
    call = Call.of(inputs)
    parameters = ModelParameters(model)
    planned = make_plan(model, inputs, scheme=scheme) if scheme != "default" else None
    if planned is not None:
        apply_(planned, model, 0)
    traced = trace(call, parameters)
    found = Measured()
    weights: list[dict[str, Moments]] = []
    for draw in range(draws):
        if planned is not None:
            apply_(planned, model, draw)
        else:
            torch.manual_seed(1000 + draw)
            model.load_state_dict(entry.build()[0].state_dict())
        weights.append(parameter_moments(traced.graph, parameters))
        observe(traced, parameters, call, found, draw)
    started = time.perf_counter()
    derived = propagate(
        traced.graph,
        expected(weights),
        input_moments(traced.graph, call),
        sample=sampling(tensors=parameters.values),
    )
    return derived, found, time.perf_counter() - started


def expected(weights: list[dict[str, Moments]]) -> dict[str, Moments]:
    """Moments of the parameters over all draws: those of one draw are off by its own luck."""
    return {
        name: replace(
            moments,
            mean=float(np.mean([each[name].mean for each in weights])),
            pairs=np.mean([each[name].pairs for each in weights], axis=0),
            kurtosis=float(np.mean([each[name].kurtosis for each in weights])),
            law=mean_law([each[name].law for each in weights]),
        )
        for name, moments in weights[0].items()
    }


def mean_law(laws: list[Law | None]) -> Law | None:
    """The mean of their quantiles."""
    if not any(laws):
        return None
    return Law(lambda: np.mean([shape_of(law) for law in laws], axis=0))


def observe(
    traced: Any, parameters: ModelParameters, call: Call, found: Measured, seed: int
) -> None:
    """One pass forwards and backwards. An operation that returns what it was given (a cast to the
    type that it has) is passed over: its result has no gradient of its own. Of one that has several
    results only what others send back to each counts: an LSTM cell reads its own c for h."""
    seen: dict[int, torch.Tensor] = {}

    def several(name: str) -> bool:
        node = traced.graph.node(name)
        whole = node.arguments.get("input") if node is not None and node.op == "getitem" else None
        made = traced.graph.node(whole.name) if isinstance(whole, Ref) else None
        return made is not None and len(made.shapes) > 1

    def look(name: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        value = value.view_as(value) if several(name) else value
        if name in traced.graph.outputs and value.requires_grad:
            outputs.append(value)
        if value.numel() and id(value) not in seen:
            seen[id(value)] = value
            found.forward.setdefault(name, []).append(square(value))
            if value.requires_grad:
                value.register_hook(
                    lambda g, n=name: found.backward.setdefault(n, []).append(square(g))
                )
        return value

    outputs: list[torch.Tensor] = []
    with preserved(parameters.model), torch.enable_grad():
        run(traced, parameters, call, look)
        generator = torch.Generator().manual_seed(seed)
        cotangents = [torch.randn(o.shape, generator=generator).to(o) for o in outputs]
        whole = sum(cotangent.numel() for cotangent in cotangents)
        sums = (square(cotangent) * cotangent.numel() for cotangent in cotangents)
        found.cotangents.append(sum(sums) / max(whole, 1))
        torch.autograd.backward(outputs, cotangents)


def square(value: torch.Tensor) -> float:
    return float(value.detach().double().square().mean())


def rows(graph: Any, derived: Any, found: Measured) -> list[Row]:
    """What was predicted and what was found, tensor by tensor."""
    made = []
    for node in graph.nodes:
        moments = derived.forward.get(node.name)
        masked = moments is not None and moments.hidden is not None  # its −∞ are not told
        if node.name not in found.forward or node.name in graph.values or masked:
            continue
        forward, backward = (
            compared(moments.get(node.name), intervals.get(node.name), values.get(node.name), units)
            for moments, intervals, values, units in (
                (derived.forward, derived.interval_forward, found.forward, []),
                (derived.backward, derived.interval_backward, found.backward, found.cotangents),
            )
        )
        op = node.activation.name if node.activation else node.op
        made.append(Row(node.name, op, node.layer, *forward, *backward))
    return made


def compared(
    moments: Any, interval: Any, values: list[float] | None, units: list[float]
) -> tuple[float, float, float]:
    """Log ratio, its standard error, and the share of draws inside the interval.

    Middles are compared by the unit of each draw's own cotangents, where ``units`` gives these:
    that is quieter, and as right.
    """
    if not values or not 0 < max(values) < math.inf:  # a mask's −∞, say
        return math.nan, math.nan, math.nan
    array = np.array(values)
    by_unit = array / units if len(units) == len(array) else array
    error = by_unit.std() / by_unit.mean() / 2 / math.sqrt(len(array))
    if moments is None:
        return math.inf, error, math.nan
    if moments.second <= 0:
        return math.inf, error, math.nan
    inside = math.nan
    if interval is not None:
        inside = float(np.mean((array >= interval[0]) & (array <= interval[1])))
    return math.log(moments.second / by_unit.mean()) / 2, error, inside


def summary(values: list[float], errors: list[float]) -> str:
    """median / 95th percentile / largest, and two standard errors."""
    known = np.array([abs(v) for v in values if not math.isnan(v)])
    if not len(known):
        return "–"
    bar = 2 * np.median([e for e in errors if not math.isnan(e)])
    missing = int(np.isinf(known).sum())
    finite = known[np.isfinite(known)]
    if not len(finite):
        return f"none of {missing}"
    text = f"{np.median(finite):.3f} {np.quantile(finite, 0.95):.3f} {finite.max():.3f} ±{bar:.3f}"
    return text + (f" ({missing} missing)" if missing else "")


def inside(values: list[float]) -> str:
    known = [v for v in values if not math.isnan(v)]
    return f"{np.mean(known):.0%}" if known else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--scheme", default="default")
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--tensors", action="store_true", help="a line for each tensor too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, scheme {options.scheme}; |log ratio|: median p95 max ±2 s.e."
    )
    print(f"{'network':26} {'tensors':>7} {'forwards':34} {'backwards':34} inside  calculus")
    for name, entry in load().items():
        if options.only and name not in options.only and entry.family not in options.only:
            continue
        derived, found, seconds = measure(entry, options.scheme, options.draws or entry.draws)
        if options.tensors:
            for row in found:
                print(
                    f"  {row.name:30} {row.op:22} {row.forward:7.3f} ±{2 * row.forward_error:.3f}"
                    f" {row.backward:7.3f} ±{2 * row.backward_error:.3f}"
                    f" {row.forward_inside:5.0%} {row.backward_inside:5.0%}  {row.layer}"
                )
        print(
            f"{name:26} {len(found):7d} "
            f"{summary([r.forward for r in found], [r.forward_error for r in found]):34} "
            f"{summary([r.backward for r in found], [r.backward_error for r in found]):34} "
            f"{inside([r.forward_inside for r in found])} "
            f"{inside([r.backward_inside for r in found])}"
            f" {seconds:.2f} s",
            flush=True,
        )
        for place in list(dict.fromkeys(derived.obstacles_forward.values()))[:3]:
            print(f"    obstacle: {place}")


if __name__ == "__main__":
    main()
