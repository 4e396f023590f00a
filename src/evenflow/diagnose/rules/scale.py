"""Rules on a weight's scale: the wrong fan or gain, and a truncation that was not reckoned with."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.mistakes import Fans, Misfit, misfits
from evenflow.diagnose.path import (
    NORMALISATIONS,
    alone,
    before_any,
    carriers,
    last_normalisation,
    matrices,
    nodes_of,
    path,
    readers,
)
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.rules.backward import gradients
from evenflow.diagnose.rules.forward import second_moments, signal_left
from evenflow.diagnose.trend import NOTE
from evenflow.diagnose.words import figure, times
from evenflow.planning.distributions import TruncatedNormal
from evenflow.record.record import Record, WeightRecord

_GROSS = 100.0
"""Factor from which one weight alone is worth a warning."""
_GROSS_NORMALISED = 30.0
"""The same for weights before a normalisation, which forgives what is too small."""
_GROSS_RECURRENT = 10.0
"""The same for weights from state to state, with which every step multiplies anew."""
_LOUD = 4.0
"""Growth of the second moment from which a loss far from chance, or saturation, may follow."""
_FEWEST = 64
"""Elements below which a second moment says too little."""


class WrongFanOrGain(Rule):
    """A weight's variance does not fit its fans, or the activation before it.

    Schemes of initialisation are right for one fan and one gain. The other axis of the matrix, a
    forgotten receptive field, ReLU's factor 2 left out or PyTorch's default (a third of 1/fan-in)
    each multiply the signal by a factor of their own, in every layer anew.

    Measured: E[w²] of every weight of at least 64 elements, against what the known schemes give
    for its true fans and the gains of the activation before it. What fits none within a factor
    1.6 is compared with the known mistakes, within four standard errors. Left alone are weights
    whose scale is of no consequence: those with a normalisation after them, unless they are 30
    times too large, and output layers that are small.

    Note; warning if the variance is 100 times too large, of recurrent weights 10 times. As grave as
    what follows from it, where a measured vanishing or exploding is at least half accounted for by
    the weights named. PyTorch's default and a fixed standard deviation, both of which many sound
    networks use, and weights that a residual stream or another branch runs beside, are told only
    where something follows.

    Remedy: `ef.init_(model, inputs)`, or the variance that the finding names.
    """

    code = "EF301"
    name = "wrong-fan-or-gain"
    level = "warning"
    needs = ("path",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for each kind of mistake."""
        found = _misfits(record)
        groups: dict[tuple[str, bool], list[Misfit]] = {}
        for each in found:
            groups.setdefault((each.looks_like, each.factor > 1), []).append(each)
        explains = {  # weights of different mistakes act together
            large: _consequences(record, [each for each in found if (each.factor > 1) == large])
            for large in (False, True)
        }
        trunk = alone(record)
        told = []
        for (_, large), group in groups.items():
            finding = self._told(group, explains[large])
            beside = not any(trunk.intersection(each.weight.layers) for each in group)
            harmless = group[0].customary or beside
            if finding.explains or finding.level != "note" or not harmless:
                told.append(finding)
        return told

    def _told(self, group: list[Misfit], explains: tuple[str, ...]) -> Finding:
        first, count = group[0], len(group)
        weight, factor = first.weight, first.factor
        level: Level = "warning" if any(_gross(each) for each in group) else "note"
        looks = f"; it looks like {first.looks_like}" if first.looks_like else ""
        return self.finding(
            level,
            where=weight.name,
            others=tuple(each.weight.name for each in group[1:]),
            measured=f"E[w²] = {figure(weight.values.second_moment)}, {times(factor)} what fan-in "
            f"{weight.fan_in}, fan-out {weight.fan_out} and the activation before ask for{looks}",
            expected=f"E[w²] near {figure(first.asked)}, a standard deviation of "
            f"{figure(math.sqrt(first.asked))}",
            why=f"Each of {count} such weights multiplies the signal anew, and so the gradient."
            if count > 1
            else "It multiplies the signal, and the gradient, by a factor that no other undoes.",
            remedy="initialise with ef.init_(model, inputs), which knows the true fans and gains; "
            f"by hand, multiply the standard deviation by {figure(1 / math.sqrt(factor))}",
            explains=explains,
        )


def _gross(found: Misfit) -> bool:
    """Whether one weight alone is worth a warning."""
    recurrent = found.weight.role == "recurrent"
    return found.factor >= (_GROSS_RECURRENT if recurrent else _GROSS)


def _misfits(record: Record) -> list[Misfit]:
    """The misfits whose scale is of consequence."""
    layers = carriers(record)
    free = {layer.node for layer in layers[last_normalisation(layers) + 1 :]}
    hidden = before_any(record, nodes_of(matrices(record)))

    def matters(found: Misfit) -> bool:
        nodes = found.weight.layers
        after = [reader for node in nodes for reader in readers(record, node)]
        if after and all(reader.op in NORMALISATIONS for reader in after):
            return False
        if found.factor > 1:
            return bool(free.intersection(nodes)) or found.factor >= _GROSS_NORMALISED
        inside = free.intersection(nodes) and hidden.intersection(nodes)
        return bool(inside) and found.weight.role != "recurrent"

    return [found for found in misfits(_measurable(record)) if matters(found)]


def _measurable(record: Record) -> list[WeightRecord]:
    return [
        weight
        for weight in matrices(record)
        if weight.trainable
        and weight.layers
        and weight.fan_in > 0
        and weight.values.count >= _FEWEST
        and weight.values.variance > 0
        and not _truncated(weight)
    ]


def _consequences(record: Record, together: list[Misfit]) -> tuple[str, ...]:
    """Codes of the findings, should they be there, that these weights account for."""
    way = path(record)
    left, distinct = signal_left(way)
    hidden = before_any(record, nodes_of(matrices(record)))
    forwards, backwards, output = 0.0, 0.0, 0.0
    for each in together:
        fans, second = Fans.of(each.weight), each.weight.values.second_moment
        gained = math.log(fans.n_in * fans.forward * second)
        if hidden.intersection(each.weight.layers):
            forwards += gained
            backwards += math.log(fans.n_out * fans.backward * second)
        else:
            output += gained
    gradient = gradients(record)[0].ratio
    verdicts = {
        "EF101": _accounts(forwards, left * distinct),
        "EF105": _accounts(forwards, left * distinct),
        "EF102": _accounts(forwards, second_moments(way.free).ratio),
        "EF201": gradient < 1 and _accounts(backwards, gradient),
        "EF202": gradient > 1 and _accounts(backwards, gradient),
        "EF103": forwards > math.log(_LOUD),
        "EF401": forwards + output > math.log(_LOUD),
    }
    return tuple(code for code, follows in verdicts.items() if follows)


def _accounts(log_factor: float, ratio: float) -> bool:
    """Whether a factor goes the way of a ratio worth a note, and at least half of it."""
    if ratio <= 0 or abs(math.log(ratio)) < math.log(NOTE):
        return False
    return log_factor * math.log(ratio) > 0 and abs(log_factor) >= 0.5 * abs(math.log(ratio))


class WrongTruncation(Rule):
    """A truncated normal whose σ was meant before the cut, not after it.

    A normal cut at ±2σ keeps only 0.8796 of its standard deviation, 0.7737 of its variance: a
    scheme that draws it with the σ that it wants ends up with less, in every layer.

    Measured: the kurtosis (2.37 when cut at ±2σ; 3 for a normal, 1.8 for a uniform distribution),
    the greatest value over the root mean square (2.27), and whether E[w²]/0.7737, the variance
    before the cut, is what a scheme asks for or a round σ, within four standard errors.

    Note: 0.77 a layer is little in ten layers; as grave as what follows from it in more.

    Remedy: divide σ by 0.8796 before drawing; in evenflow σ is the one after truncation.
    """

    code = "EF307"
    name = "wrong-truncation"
    level = "note"
    needs = ("path",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for all weights concerned."""
        found = [weight for weight in matrices(record) if _truncated(weight)]
        if not found:
            return []
        first = found[0]
        sigma = math.sqrt(first.values.second_moment)
        return [
            self.finding(
                "note",
                where=first.name,
                others=tuple(weight.name for weight in found[1:]),
                measured=f"a normal cut at two σ, with a standard deviation of {figure(sigma)}",
                expected=f"{figure(sigma / _KEPT)}, which is what it has before the cut",
                why="The cut takes 12 % off the standard deviation that was meant, in every layer.",
                remedy=f"divide the standard deviation by {_KEPT:.4f} before drawing, or use "
                "ef.init_(model, inputs), where σ is the one after truncation",
                explains=_consequences(record, [Misfit(w, Fans.of(w).asked, "") for w in found]),
            )
        ]


_KEPT = 1 / TruncatedNormal(1.0).parent_std
"""Share of σ that is left by a cut at ±2σ: 0.8796."""
_KURTOSIS = 2.3655
"""E[z⁴]/E[z²]² of a standard normal cut at ±2."""


def _truncated(weight: WeightRecord) -> bool:
    """Whether a weight is a normal cut at ±2σ whose σ before the cut is one that is asked for."""
    values = weight.values
    if values.count < 1000 or weight.fan_in <= 0 or not abs(weight.kurtosis / _KURTOSIS - 1) < 0.05:
        return False
    rms = math.sqrt(values.second_moment)
    greatest = max(-values.minimum, values.maximum) / rms
    if not abs(greatest * _KEPT / 2 - 1) < 0.02:
        return False
    tolerance = 4 * math.sqrt((_KURTOSIS - 1) / values.count)
    before = values.second_moment / _KEPT**2
    meant = [*Fans.of(weight).right(), *(sigma**2 for sigma in (0.01, 0.02, 0.05, 0.1))]
    return any(abs(before / second - 1) < tolerance for second in meant)


RULES = (WrongFanOrGain, WrongTruncation)
