"""Networks at initialisation in numbers: expected beside ours, and the Jacobian's 0.8 and 0.5."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evenflow.report.words import figure
from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.glorot2010.start import WIDTH, WITH_JACOBIANS, deviations, seen, starts
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

Expected = dict[str, tuple[float, ...]]
Measured = dict[str, NDArray[np.float64]]
"""Quantities by name, each (seeds, layers)."""

EXPECTED: dict[str, Expected] = {
    "Tanh": {
        "activation": (0.300, 0.176, 0.099, 0.055, 0.032),
        "gradient": (0.00165, 0.00307, 0.00552, 0.00984, 0.0171),
        "ratio": (107,),
        "singular": (0.470, 0.483, 0.488, 0.489),
    },
    "Tanh N": {
        "activation": (0.448, 0.395, 0.342, 0.302, 0.277),
        "gradient": (0.0232, 0.0272, 0.0314, 0.0357, 0.0389),
        "ratio": (2.8,),
        "singular": (0.697, 0.737, 0.766, 0.779),
    },
    "Softsign": {
        "activation": (0.220, 0.111, 0.057, 0.031, 0.017),
        "gradient": (0.00096, 0.0023, 0.0048, 0.0092, 0.0166),
        "ratio": (300,),
        "singular": (0.400, 0.442, 0.465, 0.476),
    },
    "Softsign N": {
        "activation": (0.312, 0.221, 0.164, 0.128, 0.107),
        "gradient": (0.0096, 0.0152, 0.0216, 0.0286, 0.0350),
        "ratio": (13,),
        "singular": (0.558, 0.629, 0.678, 0.705),
    },
    "Sigmoid": {
        "activation": (0.082, 0.072, 0.072, 0.071, 0.071),
        "gradient": (1.7e-6, 1.2e-5, 8.3e-5, 6.0e-4, 4.2e-3),
        "ratio": (6.5e6,),
    },
}
"""One seed of an independent port: sd of activations and of ∂C/∂s per example in layers 1 to 5, the
ratio of the gradients' variances, layer 5 over 1, mean singular values of Jacobians 1→2 to 4→5."""
_NAMES = {
    "activation": "sd of activations",
    "gradient": "sd of ∂C/∂s per example",
    "ratio": "its variance, layer 5 over 1",
    "singular": "mean singular value",
}
TOLERANCE = 0.05
PROMISED = 5
"""Seeds that the entries are also compared with, the first of all."""
ENOUGH = 10
"""Images a seed that mean singular values need: they vary with the image."""


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """The starts of every model of Table 1."""
    yield from starts(tuple(EXPECTED), scale)


def measured(results: Sequence[Arrays]) -> Measured:
    """The same quantities as in ``EXPECTED``."""
    gradients = deviations(results, "gradient")
    spectra = [result["singular_values"][0] for result in results]
    singular = [values.mean((0, 2)) for values in spectra if len(values)]
    return {
        "activation": deviations(results, "activation"),
        "gradient": gradients,
        "ratio": (gradients[:, -1:] / gradients[:, :1]) ** 2,
        "singular": np.array(singular, dtype=np.float64),
    }


def draw(scale: Scale, lookup: Lookup) -> Section:
    """One row a quantity, ours with its spread over seeds."""
    found = {name: seen(name, scale, lookup) for name in EXPECTED}
    ours = {name: measured(results) for name, results in found.items() if results}
    head = ("", *(f"layer {n}" for n in range(1, 6)))
    tables = [
        Table(
            head,
            _rows(EXPECTED[name], quantities),
            f"{name}: mean over {len(found[name])} seeds ± their sd, and the difference; singular "
            f"values over the first {WITH_JACOBIANS}.",
        )
        for name, quantities in ours.items()
    ]
    findings = [_within(scale, ours)] if ours else []
    if found["Tanh"] and found["Tanh N"]:
        tables.append(_means(found))
        findings.append(_average(found))
    return Section(
        name="initial",
        title="At initialisation: expected values, and the Jacobian's 0.8 and 0.5",
        shows="Five hidden layers of 1000 units on 300 images of Shapeset before any training. The "
        "paper gives an average singular value of the layers' Jacobians of about 0.8 normalized "
        "and 0.5 standard.",
        tables=tables,
        findings=findings,
        scaled=[]
        if scale.jacobians >= ENOUGH
        else [f"Jacobians of {scale.jacobians} image a seed, which singular values vary with"],
        data={
            name: {key: values.tolist() for key, values in quantities.items()}
            for name, quantities in ours.items()
        },
    )


def _rows(expected: Expected, ours: Measured) -> list[tuple[str, ...]]:
    """Three rows a quantity: expected, ours, the difference."""
    rows = []
    for key, values in expected.items():
        means, sds = ours[key].mean(0), _sd(ours[key])
        off = means / np.array(values) - 1
        pairs = zip(means.tolist(), sds.tolist(), strict=True)
        empty = [""] * (5 - len(values))
        rows += [
            (f"{_NAMES[key]}: expected", *map(figure, values), *empty),
            ("ours", *(f"{figure(mean)} ± {figure(sd)}" for mean, sd in pairs), *empty),
            ("difference", *(f"{100 * each:+.1f} %" for each in off.tolist()), *empty),
        ]
    return rows


def _within(scale: Scale, ours: dict[str, Measured]) -> Finding:
    """Over all seeds; over fewer, where sampling errors are larger, beside it."""
    seeds = min(len(quantities["activation"]) for quantities in ours.values())
    off, few = _differences(ours, seeds), _differences(ours, PROMISED)
    inside = sum(each <= TOLERANCE for each in off.values())
    worst = max(off, key=off.__getitem__)
    apart = max(
        float((_sd(values) / values.mean(0)).max())
        for quantities in ours.values()
        for values in quantities.values()
    )
    return Finding(
        "Every entry lies within 5 % of what an independent port measured with one seed.",
        inside == len(off) if scale.jacobians >= ENOUGH else None,
        f"{inside} of {len(off)} entries do over {seeds} seeds, the farthest is {worst} with "
        f"{100 * off[worst]:.1f} %; over the first {PROMISED} seeds "
        f"{sum(each <= TOLERANCE for each in few.values())} do, the farthest with "
        f"{100 * max(few.values()):.1f} %. An entry's sd from seed to seed is up to "
        f"{100 * apart:.0f} % of it",
    )


def _differences(ours: dict[str, Measured], seeds: int) -> dict[str, float]:
    """How far each entry's mean over the first ``seeds`` lies from the expected, as a share."""
    return {
        f"{name}'s {_NAMES[key]}, layer {layer}": abs(mean / value - 1)
        for name, quantities in ours.items()
        for key, expected in EXPECTED[name].items()
        for layer, (mean, value) in enumerate(
            zip(quantities[key][:seeds].mean(0).tolist(), expected, strict=True), 1
        )
    }


def _sd(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From seed to seed; 0 where there is one."""
    found: NDArray[np.float64] = values.std(0, ddof=min(1, len(values) - 1))
    return found


def _means(found: dict[str, list[Arrays]]) -> Table:
    """Three averages of the same singular values, beside those of a random matrix."""
    averages: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
        "arithmetic mean, 8s/(3π)": (8 / (3 * math.pi), lambda v: v.mean(-1)),
        "root mean square, s": (1.0, lambda v: np.sqrt((v**2).mean(-1))),
        "geometric mean, s/√e": (math.exp(-0.5), lambda v: np.exp(np.log(v + 1e-12).mean(-1))),
    }
    rows = []
    for words, (factor, average) in averages.items():
        row = [words]
        for name, s in (("Tanh N", 1.0), ("Tanh", math.sqrt(1 / 3))):
            values = np.concatenate([r["singular_values"][0] for r in found[name]])
            layers = average(values.astype(np.float64)).mean(0)
            row += [figure(factor * s), " ".join(f"{value:.3f}" for value in layers)]
        rows.append(row)
    return Table(
        ("", "normalized: weights alone", "Jacobians 1→2 … 4→5", "standard: weights alone", "…"),
        rows,
        "Three averages of singular values. For an n×n matrix of independent entries of variance "
        f"s²/n (here n = {WIDTH}): s is 1 normalized and √⅓ standard. The paper equates the "
        "average with ratios of volumes (geometric mean) and of variances (root mean square); they "
        "differ. The slopes of tanh make the Jacobians smaller than the weights alone.",
    )


def _average(found: dict[str, list[Arrays]]) -> Finding:
    names = ("Tanh N", "Tanh")
    ours = [float(measured(found[name])["singular"].mean()) for name in names]
    spectra = [np.concatenate([r["singular_values"][0] for r in found[name]]) for name in names]
    lowest = [values[:, 0].astype(np.float64).mean(1) for values in spectra]
    apart = [float(values.std() / values.mean()) for values in lowest]
    return Finding(
        "The average singular value is about 0.8 normalized and 0.5 standard.",
        abs(ours[0] - 0.8) < 0.1 and abs(ours[1] - 0.5) < 0.05,
        f"{ours[0]:.3f} and {ours[1]:.3f}: arithmetic means; the weights alone have "
        f"{8 / (3 * math.pi):.3f} and {8 / (3 * math.pi * math.sqrt(3)):.3f}. From image to image "
        f"those of the Jacobian 1→2 have an sd of {100 * apart[0]:.1f} and {100 * apart[1]:.1f} %",
    )


EXHIBIT = Exhibit("initial", "at initialisation: expected values and Jacobians", wants, draw)
