"""The derivation's own pictures: variance by depth under each rule, and where the rule fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenflow.planning.distributions import Normal
from evenflow.report.charts.frame import Row, compact
from evenflow.report.pictures import Picture
from evenflow.report.words import figure
from evenflow.sampling import sample
from evenflow.study.charts import curves
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial
from evenflow.theory.activations.catalogue import find

DEPTH, WIDTH, EXAMPLES = 30, 400, 200
Profile = NDArray[np.float64]


class Rule(NamedTuple):
    """An initialisation with the activation that it is meant for."""

    name: str
    activation: str
    variance: float
    """n·Var W, for layers of n inputs and n outputs."""
    centred: bool = False
    """Whether φ(0) is taken off the activation."""


RULES = (
    Rule("1/(3n), linear", "linear", 1 / 3),
    Rule("1/(3n), tanh", "tanh", 1 / 3),
    Rule("Glorot, tanh", "tanh", 1.0),
    Rule("Glorot, ReLU", "relu", 1.0),
    Rule("He, ReLU", "relu", 2.0),
)
LOGISTIC = (
    Rule("32/(n+n), logistic", "logistic", 16.0),
    Rule("the same, centred", "logistic", 16.0, centred=True),
)

_SHOWN = (("rules", "", RULES), ("logistic", "the logistic row, ", LOGISTIC))


def wants(_scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Nothing is trained."""
    yield from ()


def draw(_scale: Scale, _lookup: Lookup) -> Section:
    """Forwards and backwards through thirty layers, each a real network."""
    profiles = {rule: _through(rule) for rule in (*RULES, *LOGISTIC)}
    shrink = {
        rule.name: [float((p[-1] / p[4]) ** (1 / (len(p) - 5))) for p in (forward, backward[::-1])]
        for rule, (forward, backward) in profiles.items()
    }
    logistic, centred = (shrink[rule.name] for rule in LOGISTIC)
    return Section(
        name="derivation",
        title="The derivation: variance by depth",
        shows="Forwards, each layer multiplies the variance by n Var W; backwards likewise. With "
        "1/(3n) that is a third a layer: the variance falls to a third, the standard deviation to "
        "0.577. A rule for the logistic function that follows the same algebra (a ≈ ½ + z/4, Var W "
        "= 32/(n+n)) ignores that its activations have a mean of ½, and does not hold.",
        pictures=[
            _picture(key, title, which, {rule: profiles[rule] for rule in rules})
            for key, title, rules in (
                ("rules", "", RULES),
                ("logistic", "the logistic row, ", LOGISTIC),
            )
            for which in (0, 1)
        ],
        tables=[
            Table(
                ("rule", "n Var W", "a layer, forwards", "a layer, backwards"),
                [
                    (rule.name, figure(rule.variance), *map(figure, shrink[rule.name]))
                    for rule in profiles
                ],
                f"Factor by which one layer multiplies the variance, from layer 5 to {DEPTH}, in "
                f"networks of width {WIDTH}.",
            )
        ],
        findings=[
            Finding(
                "The logistic row does not hold in a real network: both directions shrink.",
                max(logistic) < 0.7,
                f"×{logistic[0]:.2f} a layer forwards and ×{logistic[1]:.2f} backwards; centred, "
                f"×{centred[0]:.2f} and ×{centred[1]:.2f}",
            )
        ],
        data={"factor a layer": shrink},
    )


def _through(rule: Rule) -> tuple[Profile, Profile]:
    """Second moments of z forwards (of the logistic row: variance over examples), of ∂C/∂z
    backwards, layer by layer.
    """
    activation = find(rule.activation)
    offset = float(activation.function(np.zeros(1))[0]) if rule.centred else 0.0
    law = Normal(math.sqrt(rule.variance / WIDTH))
    weights = [
        sample(law, (WIDTH, WIDTH), seed=0, name=f"layers.{k}.weight", dtype="float64")
        for k in range(DEPTH)
    ]
    a = sample(Normal(1.0), (EXAMPLES, WIDTH), seed=0, name="inputs", dtype="float64")
    sums = []
    for weight in weights:
        sums.append(a @ weight.T)
        a = activation.function(sums[-1]) - offset
    # The logistic function's mean of ½ is common to all examples and carries nothing of them.
    common = rule in LOGISTIC
    forward = [float(z.var(0).mean() if common else (z**2).mean()) for z in sums]
    delta = sample(Normal(1.0), (EXAMPLES, WIDTH), seed=0, name="cotangent", dtype="float64")
    backward: list[float] = []
    for z, weight in zip(reversed(sums), reversed(weights), strict=True):
        delta = delta * activation.derivative(z)
        backward.insert(0, float((delta**2).mean()))
        delta = delta @ weight
    return np.array(forward), np.array(backward)


def _picture(
    key: str, title: str, which: int, profiles: dict[Rule, tuple[Profile, Profile]]
) -> Picture:
    forward = "variance of z over examples" if key == "logistic" else "second moment of z"
    y = (forward, "second moment of ∂C/∂z")[which]
    names = [rule.name.split(", ") for rule in profiles]
    rows: list[Row] = []
    for (scheme, activation), both in zip(names, profiles.values(), strict=True):
        rows += [
            {"x": depth + 1, "y": compact(float(v)), "series": scheme, "kind": activation}
            for depth, v in enumerate(both[which])
            if v > 1e-40
        ]
    series, kinds = (list(dict.fromkeys(column)) for column in zip(*names, strict=True))
    return Picture(
        f"derivation-{key}-{which}",
        f"{title}{('forwards', 'backwards')[which]}".capitalize(),
        f"{y.capitalize()}, on a logarithmic axis, in one real network of each rule.",
        curves(rows, x="layer", y=y, series=series, kinds=kinds, log_y=True, title=f"{y} by depth"),
    )


EXHIBIT = Exhibit("derivation", "the derivation's variances by depth", wants, draw)
