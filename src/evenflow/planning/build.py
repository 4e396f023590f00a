"""Build a Plan: every parameter of a Graph gets a distribution from a scheme, and a reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from evenflow.errors import ActivationError
from evenflow.graph.graph import Graph, Parameter
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation, propagate, propagate_forwards
from evenflow.planning.attention import scaled_queries
from evenflow.planning.before import before, cell_before, free_depth
from evenflow.planning.branches import Residual, scaled_branches
from evenflow.planning.distributions import (
    Blocks,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    Simple,
)
from evenflow.planning.head import quiet_heads
from evenflow.planning.levelled import levelled
from evenflow.planning.operating_point import OperatingPoint, operating_point
from evenflow.planning.outlook import outlook
from evenflow.planning.plain import magnitude_entry, plain_entry
from evenflow.planning.plan import Entry, Plan
from evenflow.planning.residual import residual_sums
from evenflow.planning.scaling import moments
from evenflow.planning.schemes import Scheme, Site, formula, knows_gains, scheme
from evenflow.planning.stages import stages
from evenflow.planning.uses import Use, uses
from evenflow.theory.activations import Activation
from evenflow.theory.cells import CELL_GAINS
from evenflow.theory.gain import gain

Points = Mapping[Activation, OperatingPoint]


def build_plan(
    graph: Graph,
    scheme_name: str,
    kept: Mapping[str, str] | None = None,
    *,
    calibrated: bool = False,
    residual: Residual = "depth-scaled",
    found: Mapping[str, Moments] | None = None,
    inputs: Mapping[str, Moments] | None = None,
) -> Plan:
    """The plan of ``scheme_name`` for ``graph``.

    ``kept`` names parameters that must be left as found, with the reason (frozen, quantised …).
    ``calibrated`` says that the plan will be calibrated, which takes out some of the fluctuations
    that it would otherwise have to allow for. ``residual`` says what becomes of residual branches
    under a scheme that knows gains. ``found`` are the Moments of parameters as they are now, for
    those that are left so; ``inputs`` those of the inputs.
    """
    readings = uses(graph)
    derived = knows_gains(scheme_name)
    sums = residual_sums(graph, readings)
    ends = {each.node for each in sums}
    points, notes = _operating_points(graph, readings, ends, calibrated) if derived else ({}, ())
    planner = _Planner(graph, scheme_name, scheme(scheme_name), points)
    entries: dict[str, Entry] = {}
    for name, parameter in graph.parameters.items():
        if parameter.buffer:
            continue
        weights = [use for use in readings[name] if use.is_weight]
        if kept and name in kept:
            entries[name] = Entry(parameter.shape, None, f"left as found: {kept[name]}")
        elif weights:
            entries[name] = planner.weight(parameter, weights)
        else:
            entries[name] = plain_entry(graph, parameter, readings[name])
    for name, each in readings.items():
        if any(use.role == "magnitude" for use in each) and not (kept and name in kept):
            entries[name] = magnitude_entry(graph.parameters[name], each[0], entries)

    def known(entries: Mapping[str, Entry]) -> dict[str, Moments]:
        return {**(found or {}), **drawn_moments(entries)}

    def ahead(entries: Mapping[str, Entry]) -> Mapping[str, Moments]:
        return propagate_forwards(graph, known(entries), inputs)

    def derived_with(entries: Mapping[str, Entry]) -> Derivation:
        return propagate(graph, known(entries), inputs)

    blocks = stages(graph, readings, sums)
    if derived:
        entries = scaled_queries(graph, entries, readings, ahead)
        entries = scaled_branches(entries, sums, ahead, residual)
        loudest = min((point.q for point in points.values()), default=1.0)
        entries = levelled(graph, entries, blocks, derived_with, loudest)
        entries = quiet_heads(graph, entries, readings, ahead)
    notes = (*notes, *outlook(graph, derived_with(entries), blocks))
    if graph.trace != "export":
        notes = (*notes, f"the graph was had by a {graph.trace}")
    return Plan(scheme_name, entries, notes)


def _cell_notes(graph: Graph, readings: Mapping[str, tuple[Use, ...]]) -> Iterator[str]:
    """What becomes of signals in stacks of each kind of gated cell."""
    weights = (use for each in readings.values() for use in each if use.role == "recurrent")
    for kind in sorted({cell_before(graph, use.source) for use in weights} - {""}):
        cell = CELL_GAINS[kind]
        yield (
            f"{kind}: input weights between layers have n·Var W = {cell.entering:.3g}; a layer "
            f"multiplies the second moment of white noise by {cell.white:.2g}, forwards and "
            f"backwards, and that of slow signals by {cell.slow:.2g} until gates saturate"
        )


def drawn_moments(entries: Mapping[str, Entry]) -> dict[str, Moments]:
    """Moments of the parameters that a plan draws."""
    return {
        name: moments(entry.distribution, entry.shape)
        for name, entry in entries.items()
        if entry.distribution is not None
    }


@dataclass(frozen=True)
class _Planner:
    """Draws the weights of one graph by one scheme."""

    graph: Graph
    scheme_name: str
    draw: Scheme
    points: Points

    def weight(self, parameter: Parameter, weights: list[Use]) -> Entry:
        """The distribution of a weight, and why."""
        products = [use for use in weights if use.role != "embedding"]
        if not products:
            why = "embedding by look-up: one term is read, so variance 1 keeps the level"
            return Entry(parameter.shape, Normal(1.0), why)
        distribution: Distribution
        if len(products) < len(weights):  # tied to an embedding
            distribution = Normal(products[0].fan_in ** -0.5)
            why = (
                f"{_fans(products[:1])}, tied to an embedding by look-up: the head decides, "
                "Var W = 1/n_in, so that the logits start level"
            )
        else:
            parts = _parts(parameter, products)
            gains = self._gains(parts[0])
            distribution = self._distribution(parameter, parts, gains)
            reason = gains.words if self.says_gains else formula(self.scheme_name)
            why = ", ".join(words for words in (_fans(parts), reason) if words)
        return Entry(parameter.shape, distribution, why + _also(parameter))

    @property
    def says_gains(self) -> bool:
        """Whether the activation before a weight is part of the scheme's reasons."""
        return not formula(self.scheme_name) or knows_gains(self.scheme_name)

    def _distribution(
        self, parameter: Parameter, parts: Sequence[Use], gains: _Gains
    ) -> Distribution:
        def drawn(use: Use, fan_out: float) -> Simple:
            fans = (use.fan_in, fan_out)
            return self.draw(Site(use.role, *fans, parameter.shape, gains.forward, gains.backward))

        use = parts[0]
        if use.blocks:
            sizes = tuple(size for part in parts for size in part.blocks)
            blocks = tuple(drawn(part, size) for part in parts for size in part.blocks)
            return Blocks(use.axis, sizes, blocks)
        whole = drawn(use, use.fan_out)
        if use.groups > 1 and isinstance(whole, Orthogonal | DeltaOrthogonal):
            each = parameter.shape[0] // use.groups
            return Blocks(0, (each,) * use.groups, (whole,) * use.groups)
        return whole

    def _gains(self, use: Use) -> _Gains:
        found = before(self.graph, use.source)
        if found is None:
            return self._cell_gains(use)
        point = None if found.pinned else self.points.get(found.activation)
        q = 1.0 if point is None else point.q
        name = found.activation.name
        at = gain(found.activation, q=q)
        words = f"after {name} at q = {q:.3g}: E_f = {at.forward:.4g}, E_b = {at.backward:.4g}"
        return _Gains(at.forward, at.backward, words)

    def _cell_gains(self, use: Use) -> _Gains:
        kind = cell_before(self.graph, use.source)
        if not kind:
            own = use.role == "recurrent" and not use.source
            return _Gains(1.0, 1.0, "of its own state" if own else "no activation before it")
        cell = CELL_GAINS[kind]
        gain = 1 / cell.entering if use.role == "recurrent" else cell.passed
        beside = ", recurrent weights beside it" if use.role == "recurrent" else ""
        return _Gains(gain, gain, f"after {kind} states{beside}: E_f = E_b = {gain:.4g}")


@dataclass(frozen=True)
class _Gains:
    """Gains of what stands before a weight, and how to say so."""

    forward: float
    backward: float
    words: str


def _parts(parameter: Parameter, products: list[Use]) -> list[Use]:
    """The uses that decide: parts that make up the whole weight, or else the first use alone."""
    by_place = {(use.axis, use.start): use for use in reversed(products)}
    parts = [by_place[place] for place in sorted(by_place)]
    end = 0
    for use in parts:
        if not use.blocks or use.axis != parts[0].axis or use.start != end:
            break
        end += sum(use.blocks)
    else:
        if end == parameter.shape[parts[0].axis]:
            return parts
    return [replace(products[0], blocks=())]


def _fans(parts: Sequence[Use]) -> str:
    """Role and fans in words: "3 blocks packed, each linear: fans (256, 256)"."""
    use = parts[0]
    pairs = [f"({p.fan_in:g}, {size})" for p in parts for size in p.blocks]
    if len(pairs) < 2:
        return f"{use.role}: fans ({use.fan_in:g}, {use.fan_out:g})"
    if len(set(pairs)) == 1:
        return f"{len(pairs)} blocks packed, each {use.role}: fans {pairs[0]}"
    return f"{len(pairs)} blocks packed, {use.role}: fans {', '.join(pairs)}"


def _also(parameter: Parameter) -> str:
    return f"; the same tensor as {', '.join(parameter.aliases)}" if parameter.aliases else ""


def _operating_points(
    graph: Graph, readings: Mapping[str, tuple[Use, ...]], sums: Collection[str], calibrated: bool
) -> tuple[dict[Activation, OperatingPoint], tuple[str, ...]]:
    """One operating point for each activation that no normalisation holds in place; and what is to
    be known of them.
    """
    widths: dict[Activation, list[float]] = {}
    for use in (use for each in readings.values() for use in each if use.is_weight):
        found = before(graph, use.source)
        if found is not None and not found.pinned:
            widths.setdefault(found.activation, []).append(use.fan_in)
    points: dict[Activation, OperatingPoint] = {}
    notes: list[str] = []
    for activation, fans in widths.items():
        depth, width = free_depth(graph, activation, sums), int(median(fans))
        try:
            points[activation] = operating_point(activation, depth, width, calibrated)
            notes += points[activation].notes()
        except ActivationError as error:
            notes.append(f"{activation.name} has no operating point: {error.what}")
    return points, (*notes, *_cell_notes(graph, readings))
