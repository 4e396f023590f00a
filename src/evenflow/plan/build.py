"""Build a Plan: every parameter of a Graph gets a distribution from a scheme, and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from evenflow.graph.graph import Graph, Parameter
from evenflow.plan.before import before, free_depth
from evenflow.plan.distributions import Blocks, Constant, Distribution, Normal, Simple
from evenflow.plan.operating_point import OperatingPoint, operating_point
from evenflow.plan.plan import Entry, Plan
from evenflow.plan.residual import branch_ends
from evenflow.plan.scaling import scaled
from evenflow.plan.schemes import Site, formula, scheme
from evenflow.plan.uses import Use, uses
from evenflow.theory.activations import Activation
from evenflow.theory.gain import gain


@dataclass(frozen=True)
class _Gains:
    """Gains of what stands before a weight, and how to say so."""

    forward: float
    backward: float
    words: str


def build_plan(graph: Graph, scheme_name: str, kept: Mapping[str, str] | None = None, *, calibrated: bool = False) -> Plan:
    """The plan of ``scheme_name`` for ``graph``.

    ``kept`` names parameters that must be left as found, with the reason (frozen, quantised …).
    ``calibrated`` says that the plan will be calibrated, which takes out some of the fluctuations
    that it would otherwise have to allow for.
    """
    draw = scheme(scheme_name)
    readings = uses(graph)
    auto = scheme_name.startswith("auto")
    points = _operating_points(graph, readings, calibrated) if auto else {}
    ends = branch_ends(graph, readings) if auto else {}
    entries: dict[str, Entry] = {}
    for name, parameter in graph.parameters.items():
        if parameter.buffer:
            continue
        if kept and name in kept:
            entries[name] = Entry(parameter.shape, None, f"left as found: {kept[name]}")
            continue
        each = readings[name]
        weights = [use for use in each if use.is_weight]
        if not weights:
            entries[name] = _plain(parameter, each)
            continue
        use = _deciding(weights)
        gains = _gains(graph, use, points)
        site = Site(
            use.role, use.fan_in, use.fan_out, parameter.shape, gains.forward, gains.backward
        )
        drawn = _special(weights, use) or draw(site)
        why = _why(scheme_name, use, gains, weights)
        branches = ends.get(name, 1)
        if branches > 1:
            drawn = scaled(drawn, branches**-0.5)
            why += f"; ends one of {branches} residual branches, so scaled by 1/√{branches}"
        entries[name] = Entry(parameter.shape, _packed(use, drawn), why)
    return Plan(scheme_name, entries, _notes(graph, points))


def _plain(parameter: Parameter, each: tuple[Use, ...]) -> Entry:
    """Biases zero, normalisation neutral, everything else left alone."""
    roles = {use.role for use in each}
    value: Distribution | None
    if roles == {"scale"}:
        value, why = Constant(1.0), "scale of a normalisation: neutral"
    elif roles == {"shift"}:
        value, why = Constant(0.0), "shift of a normalisation: neutral"
    elif roles == {"bias"}:
        value, why = Constant(0.0), "bias: zero, so that it moves no mean"
    elif not roles:
        value, why = None, "left as found: no operation reads it"
    else:
        value, why = None, f"left as found: read by {each[0].node}, in no weight's role"
    return Entry(parameter.shape, value, why)


def _deciding(weights: list[Use]) -> Use:
    """Of several uses, a matrix product decides over a look-up."""
    return next((use for use in weights if use.role != "embedding"), weights[0])


def _special(weights: list[Use], use: Use) -> Simple | None:
    """Look-ups, alone or tied to an output layer, have no scheme of fans."""
    if use.role == "embedding":
        return Normal(1.0)
    if any(other.role == "embedding" for other in weights):
        return Normal(use.fan_in**-0.5)
    return None


def _packed(use: Use, drawn: Simple) -> Distribution:
    return Blocks(use.axis, use.blocks, (drawn,) * len(use.blocks)) if use.blocks else drawn


def _operating_points(
    graph: Graph, readings: Mapping[str, tuple[Use, ...]], calibrated: bool
) -> dict[str, OperatingPoint]:
    """One operating point for each kind of activation that no normalisation holds in place."""
    widths: dict[Activation, list[float]] = {}
    for use in (use for each in readings.values() for use in each if use.is_weight):
        found = before(graph, use.source)
        if found is not None and not found.pinned:
            widths.setdefault(found.activation, []).append(use.fan_in)
    return {
        activation.name: operating_point(
            activation, free_depth(graph, activation), int(median(fans)), calibrated
        )
        for activation, fans in widths.items()
    }


def _gains(graph: Graph, use: Use, points: Mapping[str, OperatingPoint]) -> _Gains:
    found = before(graph, use.source)
    if found is None:
        return _Gains(1.0, 1.0, "no activation before it")
    name = found.activation.name
    q = points[name].q if name in points and not found.pinned else 1.0
    at = gain(found.activation, q=q)
    return _Gains(
        at.forward,
        at.backward,
        f"after {name} at q = {q:.3g}: E_f = {at.forward:.4g}, E_b = {at.backward:.4g}",
    )


def _why(scheme_name: str, use: Use, gains: _Gains, weights: list[Use]) -> str:
    if use.role == "embedding":
        return "look-up: one term is read, so variance 1 keeps the level"
    fans = f"{use.role}: fans ({use.fan_in:g}, {use.fan_out:g})"
    if use.blocks:
        fans = f"{len(use.blocks)} blocks packed, each {fans}"
    if any(other.role == "embedding" for other in weights):
        return f"{fans}, tied to an embedding: Var W = 1/n_in, so that the logits start level"
    if scheme_name.startswith(("auto", "orthogonal")):
        return f"{fans}, {gains.words}"
    return f"{fans}, {formula(scheme_name)}"


def _notes(graph: Graph, points: Mapping[str, OperatingPoint]) -> tuple[str, ...]:
    notes = [note for point in points.values() for note in point.notes()]
    if graph.trace != "export":
        notes.append(f"the graph was had by a {graph.trace}")
    return tuple(notes)
