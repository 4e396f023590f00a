"""Schemes: from a weight's fans and gains to its variance, and to a distribution.

A scheme is a pure function of a ``Site``. Names are ``<rule>`` or ``<rule>_<family>``, the family
one of uniform, normal and truncated; the bare name is the choice of the rule's own author. Other
packages add theirs through the entry point group ``evenflow.schemes``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points

from evenflow.errors import InputError
from evenflow.plan.distributions import (
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    Simple,
    TruncatedNormal,
    Uniform,
)


@dataclass(frozen=True)
class Site:
    """What a scheme may know of a weight (or of one block of a packed weight)."""

    role: str
    fan_in: float
    fan_out: float
    shape: tuple[int, ...] = ()
    forward: float = 1.0
    """E_f = E[φ²]/q of the activation before the weight, at its operating point; 1 for none."""
    backward: float = 1.0
    """E_b = E[φ′²] of the same."""


Scheme = Callable[[Site], Simple]


def _uniform(variance: float) -> Uniform:
    return Uniform(math.sqrt(3 * variance))


def _normal(variance: float) -> Normal:
    return Normal(math.sqrt(variance))


def _truncated(variance: float) -> TruncatedNormal:
    return TruncatedNormal(math.sqrt(variance))


def heuristic(site: Site) -> float:
    """Var W = 1/(3 n_in): U(±1/√n_in), the common heuristic of 2010 (Glorot's eq. 1)."""
    return 1 / (3 * site.fan_in)


def lecun(site: Site) -> float:
    """Var W = 1/n_in (LeCun et al. 1998)."""
    return 1 / site.fan_in


def glorot(site: Site) -> float:
    """Var W = 2/(n_in + n_out) (Glorot and Bengio 2010, eq. 12)."""
    return 2 / (site.fan_in + site.fan_out)


def he(site: Site) -> float:
    """Var W = 2/n_in (He et al. 2015, eq. 10)."""
    return 2 / site.fan_in


def auto(site: Site) -> float:
    """Var W = 2/(n_in E_f + n_out E_b): Glorot's compromise with the activation's own gains."""
    return 2 / (site.fan_in * site.forward + site.fan_out * site.backward)


def orthogonal(site: Site) -> Simple:
    """An orthogonal matrix (Saxe et al. 2014), delta-orthogonal for convolutions (Xiao 2018)."""
    if site.role == "conv":
        return DeltaOrthogonal(1.0)
    return Orthogonal(1.0)


_FAMILIES: Mapping[str, Callable[[float], Simple]] = {
    "uniform": _uniform,
    "normal": _normal,
    "truncated": _truncated,
}
_RULES: Mapping[str, tuple[Callable[[Site], float], str]] = {
    "heuristic": (heuristic, "uniform"),
    "lecun": (lecun, "normal"),
    "glorot": (glorot, "uniform"),
    "he": (he, "normal"),
    "auto": (auto, "normal"),
}


def variance_rule(name: str) -> Callable[[Site], float] | None:
    """The variance that a built-in scheme asks for; None for schemes that have none."""
    rule = _RULES.get(name.rpartition("_")[0] or name) or _RULES.get(name)
    return rule[0] if rule else None


def formula(name: str) -> str:
    """A built-in scheme's rule in a line, "" for others."""
    rule = variance_rule(name)
    return (rule.__doc__ or "").strip().rstrip(".") if rule else ""


@lru_cache(maxsize=1)
def schemes() -> Mapping[str, Scheme]:
    """Every scheme by name, those of other packages included."""
    found: dict[str, Scheme] = {}
    for rule, (variance, own) in _RULES.items():
        for family, distribution in _FAMILIES.items():
            found[f"{rule}_{family}"] = _compose(variance, distribution)
        found[rule] = found[f"{rule}_{own}"]
    found["orthogonal"] = orthogonal
    for entry in entry_points(group="evenflow.schemes"):
        found.setdefault(entry.name, entry.load())
    return found


def _compose(variance: Callable[[Site], float], family: Callable[[float], Simple]) -> Scheme:
    return lambda site: family(variance(site))


def scheme(name: str) -> Scheme:
    """The scheme of that name."""
    known = schemes()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        raise InputError(
            f"there is no scheme {name!r}",
            remedy=(f"did you mean {' or '.join(close)}? " if close else "")
            + f"Known: {', '.join(sorted(known))}",
        )
    return known[name]
