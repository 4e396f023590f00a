"""The models of the paper by its own names, and the search for their learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.trial import Trial

STANDARD, NORMALIZED = "heuristic", "glorot"
"""The paper's eq. 1 and eq. 16 among evenflow's schemes."""
DEPTH = 5


class Model(NamedTuple):
    """A row of Table 1."""

    name: str
    activation: str
    scheme: str
    depth: int = DEPTH


MODELS = (
    Model("Softsign", "softsign", STANDARD),
    Model("Softsign N", "softsign", NORMALIZED),
    Model("Tanh", "tanh", STANDARD),
    Model("Tanh N", "tanh", NORMALIZED),
    Model("Sigmoid", "sigmoid", STANDARD),
)
SIGMOID_4 = Model("Sigmoid depth 4", "sigmoid", STANDARD, 4)
BY_NAME = {model.name: model for model in (*MODELS, SIGMOID_4)}


def training(model: Model, data: str, scale: Scale, rate: float, seed: int = 0) -> Trial:
    """One training of a model at this scale."""
    return Trial(
        data=data,
        network=Network(
            hidden=(scale.width,) * model.depth,
            activation=model.activation,
            scheme=model.scheme,
        ),
        rate=rate,
        updates=scale.updates,
        seed=seed,
        evaluations=scale.looks,
        observations=2 * scale.looks,
        test_images=scale.test_images,
    )


def best(model: Model, data: str, scale: Scale, lookup: Lookup) -> Trial | None:
    """The training of seed 0 at the rate with the least validation error at its end.

    As in the paper, where rates were chosen after the full training. None until one is done.
    """
    tried = [training(model, data, scale, rate) for rate in scale.rates]
    found = [(_score(t, result), t.rate, t) for t in tried if (result := lookup(t)) is not None]
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def wanted(models: Sequence[Model], data: str, scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """All rates for the first seed; once a model's are known, its other seeds at the best."""
    yield from searched(models, data, scale)
    for model in models:
        tried = [training(model, data, scale, rate) for rate in scale.rates]
        if all(lookup(trial) is not None for trial in tried):
            yield from _seeds(best(model, data, scale, lookup), scale)


def searched(models: Sequence[Model], data: str, scale: Scale) -> Iterator[Trial]:
    """All rates for the first seed, rate by rate, so that models can be compared early."""
    for rate in scale.rates:
        yield from (training(model, data, scale, rate) for model in models)


def results(model: Model, data: str, scale: Scale, lookup: Lookup) -> list[tuple[Trial, Arrays]]:
    """What is known of a model at its best rate, one entry a seed, the first seed first."""
    trials = _seeds(best(model, data, scale, lookup), scale)
    return [(trial, result) for trial in trials if (result := lookup(trial)) is not None]


def first(model: Model, data: str, scale: Scale, lookup: Lookup) -> Arrays | None:
    """What is known of a model's first seed at its best rate."""
    found = results(model, data, scale, lookup)
    return found[0][1] if found else None


def _seeds(chosen: Trial | None, scale: Scale) -> list[Trial]:
    if chosen is None:
        return []
    model = Model("", chosen.network.activation, chosen.network.scheme, len(chosen.network.hidden))
    return [training(model, chosen.data, scale, chosen.rate, seed) for seed in range(scale.seeds)]


def _score(trial: Trial, result: Arrays) -> float:
    """Validation error at the end; a training that broke off without a finite cost is the worst."""
    whole = result["evaluated_at"][-1] == trial.updates
    return float(result["validation_error"][-1]) if whole else float("inf")
