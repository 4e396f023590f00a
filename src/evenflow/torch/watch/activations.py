"""Which activation a module is, and from where on it saturates or is dead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from torch import nn

from evenflow.errors import EvenflowError
from evenflow.theory.activations import find

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


@dataclass(frozen=True)
class Tails:
    """Where an activation hardly has a slope, and where it has none at all."""

    saturated: tuple[float, float]
    """z below the first or above the second lies where |φ′| < 0.1 · max|φ′|."""
    alive: tuple[float, float]
    """φ′ is exactly 0 outside; infinite for an activation without flat stretches."""

    @property
    def saturates(self) -> bool:
        """Whether there is any such tail."""
        return any(map(math.isfinite, self.saturated))

    @property
    def dies(self) -> bool:
        """Whether a unit can be dead."""
        return any(map(math.isfinite, self.alive))


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
    tails = Tails((low, high), (floor, ceiling))
    return tails if tails.saturates or tails.dies else None
