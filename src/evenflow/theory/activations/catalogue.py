"""The catalogue: activations by name."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from evenflow.errors import InputError
from evenflow.theory.activations import exponential, gated, piecewise, sigmoidal, waves
from evenflow.theory.activations.activation import Activation

_MAKERS: dict[str, Callable[..., Activation]] = {
    make.__name__: make
    for make in (
        piecewise.linear,
        sigmoidal.logistic,
        sigmoidal.tanh,
        sigmoidal.softsign,
        piecewise.relu,
        piecewise.leaky_relu,
        piecewise.prelu,
        piecewise.relu6,
        exponential.elu,
        exponential.selu,
        exponential.celu,
        gated.gelu,
        gated.gelu_tanh,
        gated.quick_gelu,
        gated.silu,
        gated.mish,
        sigmoidal.softplus,
        piecewise.hardtanh,
        piecewise.hardsigmoid,
        piecewise.hardswish,
        sigmoidal.logsigmoid,
        sigmoidal.tanhshrink,
        piecewise.softshrink,
        piecewise.hardshrink,
        piecewise.squared_relu,
        waves.sin,
        waves.gaussian,
    )
}
_ALIASES = {"sigmoid": "logistic", "swish": "silu"}


def find(name: str, **params: float) -> Activation:
    """The activation of that name; ``sigmoid`` and ``swish`` are understood too.

    Parameters go by PyTorch's names: ``leaky_relu`` and ``prelu`` take ``negative_slope``, ``elu``
    and ``celu`` ``alpha``, ``hardtanh`` ``min_val`` and ``max_val``, ``softshrink`` and
    ``hardshrink`` ``lambd``, ``softplus`` ``beta`` and ``threshold``. Asking again for the same
    gives the same object. Raises InputError for an unknown name or an impossible parameter.
    """
    for key, value in params.items():
        if not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
            raise InputError(
                f"parameter {key} of activation {name!r} is {value!r}",
                remedy="Give a finite number",
            )
    values = tuple((key, float(value)) for key, value in sorted(params.items()))
    return _find(_ALIASES.get(name, name), values)


def catalogue() -> tuple[str, ...]:
    """All names, without the aliases."""
    return tuple(_MAKERS)


@lru_cache(maxsize=256)
def _find(name: str, params: tuple[tuple[str, float], ...]) -> Activation:
    if name not in _MAKERS:
        near = difflib.get_close_matches(name, (*_MAKERS, *_ALIASES), n=3)
        guess = f"Did you mean {' or '.join(near)}? " if near else ""
        raise InputError(
            f"there is no activation {name!r}",
            remedy=f"{guess}The catalogue has: {', '.join(_MAKERS)}",
        )
    make = _MAKERS[name]
    accepted = list(inspect.signature(make).parameters)
    for key, _ in params:
        if key not in accepted:
            raise InputError(
                f"activation {name!r} has no parameter {key!r}",
                remedy=f"It takes {', '.join(accepted) or 'none'}",
            )
    try:
        return make(**dict(params))
    except ValueError as fault:
        raise InputError(f"activation {name!r}: {fault}", remedy="Give a value in range") from None
