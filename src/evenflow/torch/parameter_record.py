"""Record of the parameters: values, gradients, and what the graph's use of each asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evenflow.errors import ActivationError
from evenflow.graph.graph import Graph
from evenflow.planning.before import before
from evenflow.planning.uses import Use
from evenflow.record.record import WeightRecord
from evenflow.record.statistics import measure
from evenflow.record.weights import measure_weight
from evenflow.theory.gain import gain
from evenflow.torch.arrays import as_numpy
from evenflow.torch.names import ModelParameters


def record_parameters(
    parameters: ModelParameters,
    readings: Mapping[str, tuple[Use, ...]],
    graph: Graph,
    seconds: Mapping[str, float],
) -> tuple[WeightRecord, ...]:
    """One row for each floating-point parameter that has elements.

    ``seconds`` are measured second moments by value name: gains are taken where activations
    really operate.
    """
    rows, seen = [], dict[str, str]()
    for name in parameters.names:
        tensor = parameters.tensor(name)
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        measured = measure_weight(as_numpy(tensor))
        each = readings.get(name, ())
        use = next((u for u in each if u.is_weight), each[0] if each else None)
        # Of a weight-normalised weight only the direction counts: fans say nothing of its scale.
        summed = use is not None and not use.magnitude
        forward, backward = _gains(graph, use, seconds)
        gradient = tensor.grad
        rows.append(
            WeightRecord(
                name=name,
                shape=tuple(tensor.shape),
                role=use.role if use else "unused",
                trainable=graph.parameters[name].trainable,
                values=measured.values,
                gradient=None
                if gradient is None
                else measure(as_numpy(gradient), unit_axis=None, example_axis=None),
                fan_in=round(use.fan_in) if use and summed else 0,
                fan_out=round(use.fan_out) if use and summed else 0,
                gain_forward=forward,
                gain_backward=backward,
                layers=tuple(u.node for u in each),
                duplicate_of=seen.get(measured.digest, ""),
                row_duplicates=measured.row_duplicates,
                kurtosis=measured.kurtosis,
            )
        )
        seen.setdefault(measured.digest, name)
    return tuple(rows)


def _gains(graph: Graph, use: Use | None, seconds: Mapping[str, float]) -> tuple[float, float]:
    """E_f and E_b of the activation before a weight; 1 where there is none."""
    if use is None or not use.is_weight or use.magnitude:
        return math.nan, math.nan
    found = before(graph, use.source)
    if found is None:
        return 1.0, 1.0
    activation = graph.node(found.node)
    root = next((name for _, name in activation.refs()), "") if activation else ""
    q = seconds.get(root, 1.0)
    if not (math.isfinite(q) and q > 0):
        return math.nan, math.nan
    try:
        at = gain(found.activation, q=q)
    except ActivationError:  # the signal has exploded before it, and there is no gain to speak of
        return math.nan, math.nan
    return at.forward, at.backward
