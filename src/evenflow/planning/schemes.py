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
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from evenflow.errors import InputError
from evenflow.planning.distributions import (
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
VarianceRule = Callable[[Site], float]
Family = Callable[[float], Simple]


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
    """An orthogonal matrix (Saxe et al. 2014), delta-orthogonal for convolutions (Xiao 2018).

    A stack of matrices (one an expert, say) is no matrix: its elements are normal, of the same
    variance as those of orthogonal matrices of its fans.
    """
    if site.role == "conv":
        return DeltaOrthogonal(1.0)
    if site.role == "linear" and len(site.shape) > 2:
        return _normal(1 / max(site.fan_in, site.fan_out))
    return Orthogonal(1.0)


_FAMILIES: Mapping[str, Family] = {
    "uniform": _uniform,
    "normal": _normal,
    "truncated": _truncated,
}
_BUILT_IN: dict[str, tuple[VarianceRule, Family]] = {}
"""By name: how much variance, and in which form."""
for _rule, _own in (
    (heuristic, "uniform"),
    (lecun, "normal"),
    (glorot, "uniform"),
    (he, "normal"),
    (auto, "normal"),
):
    _BUILT_IN[_rule.__name__] = _rule, _FAMILIES[_own]
    _BUILT_IN |= {f"{_rule.__name__}_{name}": (_rule, form) for name, form in _FAMILIES.items()}


def formula(name: str) -> str:
    """The variance that a built-in scheme gives, in a line; "" for others."""
    rule = _BUILT_IN.get(name)
    return (rule[0].__doc__ or "").strip().rstrip(".") if rule else ""


def knows_gains(name: str) -> bool:
    """Whether a built-in scheme takes the gains of the activation before a weight."""
    return name in _BUILT_IN and _BUILT_IN[name][0] is auto


def may_use_gains(name: str) -> bool:
    """Whether a scheme takes those gains, or may: nothing is known of other packages' schemes."""
    return knows_gains(name) or not (name in _BUILT_IN or name == orthogonal.__name__)


@lru_cache(maxsize=1)
def schemes() -> Mapping[str, Scheme]:
    """Every scheme by name, those of other packages included."""
    found = {name: _compose(*rule) for name, rule in _BUILT_IN.items()}
    found["orthogonal"] = orthogonal
    for entry in entry_points(group="evenflow.schemes"):
        found.setdefault(entry.name, _of_package(entry))
    return MappingProxyType(found)


def _compose(variance: VarianceRule, family: Family) -> Scheme:
    return lambda site: family(variance(site))


def _of_package(entry: EntryPoint) -> Scheme:
    """A scheme of another package, which is imported when the scheme is first used."""

    def draw(site: Site) -> Simple:
        where = f"scheme {entry.name!r} = {entry.value}"
        try:
            rule = entry.load()
        except Exception as error:  # whatever a stranger's package does on import
            raise InputError(
                f"it cannot be loaded: {type(error).__name__}: {error}",
                where=where,
                remedy="mend or uninstall the package that offers it",
            ) from error
        drawn = rule(site)
        if not isinstance(drawn, Simple):
            raise InputError(f"it returned {drawn!r}, which is no distribution", where=where)
        return drawn

    return draw


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
