"""All cases, and their two halves: one sets thresholds, the other is only scored."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from tests.bank import (
    autoencoders,
    convolutional,
    perceptrons,
    recurrent,
    residual,
    transformers,
)
from tests.bank.setups import Case

FAMILIES = (perceptrons, convolutional, recurrent, transformers, residual, autoencoders)


@cache
def bank() -> tuple[Case, ...]:
    """Every case."""
    return tuple(case for family in FAMILIES for case in family.cases())


def halves() -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The half that thresholds are set on, and the half that is only scored.

    Within each family and kind of fault (none among them) cases go to one half and the other in
    turn, in the order in which they are declared; which half begins alternates from stratum to
    stratum. Nothing that a training shows has a part in it.
    """
    strata: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in bank():
        strata[case.family, case.fault.kind if case.fault else ""].append(case)
    parts: tuple[list[Case], list[Case]] = ([], [])
    for number, stratum in enumerate(strata.values()):
        for place, case in enumerate(stratum):
            parts[(number + place) % 2].append(case)
    return tuple(parts[0]), tuple(parts[1])
