"""Which activation a module is, and from where on it saturates or is dead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from torch import nn

from evenflow.errors import EvenflowError
from evenflow.record.run_kernels import Edges
from evenflow.theory.activations import Activation, find

_MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.Tanh: ("tanh", ()),
    nn.Sigmoid: ("logistic", ()),
    nn.Softsign: ("softsign", ()),
    nn.ReLU: ("relu", ()),
    nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    nn.ReLU6: ("relu6", ()),
    nn.ELU: ("elu", ("alpha",)),
    nn.SELU: ("selu", ()),
    nn.CELU: ("celu", ("alpha",)),
    nn.GELU: ("gelu", ()),
    nn.SiLU: ("silu", ()),
    nn.Mish: ("mish", ()),
    nn.Softplus: ("softplus", ("beta", "threshold")),
    nn.Hardtanh: ("hardtanh", ("min_val", "max_val")),
    nn.Hardsigmoid: ("hardsigmoid", ()),
    nn.Hardswish: ("hardswish", ()),
    nn.LogSigmoid: ("logsigmoid", ()),
    nn.Tanhshrink: ("tanhshrink", ()),
}


_RISING = frozenset(
    {
        *("tanh", "logistic", "softsign", "relu", "leaky_relu", "relu6", "elu", "selu", "celu"),
        *("softplus", "hardtanh", "hardsigmoid", "logsigmoid"),
    }
)
"""Activations that never fall: where z lies can be read off the output, which is at hand anyway."""


@dataclass(frozen=True)
class Tails:
    """Where an activation hardly has a slope, and where it has none at all."""

    saturated: tuple[float, float]
    """Below the first or above the second |φ′| < 0.1 · max|φ′|."""
    alive: tuple[float, float]
    """φ′ is exactly 0 outside; infinite for an activation without flat stretches."""
    of_output: bool
    """Whether both are values of φ(z), and not of z."""

    @cached_property
    def edges(self) -> Edges:
        """All four, as kernels take them."""
        return np.array([*self.saturated, *self.alive])


def activation_of(module: nn.Module) -> tuple[str, Tails | None]:
    """Name in the catalogue and tails of an activation module; ("", None) for any other."""
    known = _MODULES.get(type(module))
    if known is None:
        return "", None
    name, parameters = known
    values = tuple((key, float(getattr(module, key))) for key in parameters)
    return name, tails_of(name, values)


@lru_cache(maxsize=256)
def tails_of(name: str, values: tuple[tuple[str, float], ...] = ()) -> Tails | None:
    """The tails of an activation of the catalogue; None where it has none."""
    try:
        found = find(name, **dict(values))
    except EvenflowError:
        return None
    low, high = -math.inf, math.inf
    for start, end in found.saturation.intervals if found.saturation else ():
        low, high = (end, high) if math.isinf(start) else (low, start)
    floor, ceiling = -math.inf, math.inf
    for start, end in found.flat:
        if math.isinf(start):
            floor = end
        elif math.isinf(end):
            ceiling = start
    tails = Tails((low, high), (floor, ceiling), of_output=False)
    if np.isinf(tails.edges).all():
        return None
    return _of_output(tails, found) if name in _RISING else tails


def _of_output(tails: Tails, found: Activation) -> Tails:
    """The same tails as values of φ."""

    def value(z: float) -> float:
        return float(found.function(np.array([z]))[0]) if math.isfinite(z) else z

    low, high = (value(z) for z in tails.saturated)
    floor, ceiling = (value(z) for z in tails.alive)
    # In a flat tail every output is the same number, which must count as below.
    if low == floor:
        low = float(np.nextafter(np.float32(low), np.float32(math.inf)))
    if high == ceiling:
        high = float(np.nextafter(np.float32(high), np.float32(-math.inf)))
    return Tails((low, high), (floor, ceiling), of_output=True)
