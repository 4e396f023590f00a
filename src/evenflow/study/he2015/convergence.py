"""Figures 2 and 3 of He et al. 2015: 22 layers converge under both, 30 under their own alone."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.report.charts.frame import Row, compact
from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves
from evenflow.study.he2015.scales import Scale
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

DEPTHS = (22, 30)
SCHEMES = {"Xavier": "lecun_normal", "He": "he_normal"}
"""What that paper calls Xavier is a Gaussian of variance 1/n."""


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Both depths under both schemes at every rate."""
    for rate in scale.rates:
        for depth in DEPTHS:
            for scheme in SCHEMES.values():
                yield _trial(depth, scheme, scale, rate)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Training cost through time, and how far each got."""
    found = {(d, n): _best(d, s, scale, lookup) for d in DEPTHS for n, s in SCHEMES.items()}
    known = {key: result for key, result in found.items() if result is not None}
    return Section(
        name="convergence",
        title="22 and 30 layers of rectifiers",
        shows="A rectifier halves the second moment: with Var W = 2/n the signal stays level at "
        "any depth, with 1/n it halves in every layer. At 22 layers both schemes converge, He's "
        "sooner; at 30 layers, with Xavier's, learning stalls.",
        pictures=[_picture(depth, known) for depth in DEPTHS],
        tables=[
            Table(
                ("layers", "scheme", "sd of the top layer over the first", "cost at the end"),
                [
                    (str(d), n, f"{_kept(r):.2g}", f"{float(r['training_cost'][-1]):.3f}")
                    for (d, n), r in known.items()
                ],
                "At the best learning rate by validation error; the cost is the mean since the "
                "last look, a guess by the priors costs 2.10.",
            )
        ],
        findings=_findings(known),
        scaled=scale.reduced(),
        data={f"{d} {n}": r["training_cost"].tolist() for (d, n), r in known.items()},
    )


def _trial(depth: int, scheme: str, scale: Scale, rate: float) -> Trial:
    network = Network(hidden=(scale.width,) * (depth - 1), activation="relu", scheme=scheme)
    return Trial(
        data="shapeset",
        network=network,
        rate=rate,
        updates=scale.updates,
        evaluations=scale.looks,
        observations=scale.looks,
        test_images=scale.test_images,
    )


def _best(depth: int, scheme: str, scale: Scale, lookup: Lookup) -> Arrays | None:
    tried = (lookup(_trial(depth, scheme, scale, rate)) for rate in scale.rates)
    done = [result for result in tried if result is not None]
    return min(done, key=lambda result: float(result["validation_error"][-1]), default=None)


def _kept(result: Arrays) -> float:
    """Standard deviation of the top hidden layer over that of the first, at the start."""
    sds = result["activation_sd"][0]
    return float(sds[-1] / sds[0])


def _picture(depth: int, known: dict[tuple[int, str], Arrays]) -> Picture:
    rows: list[Row] = [
        {"x": int(at), "y": compact(float(cost)), "series": name}
        for (of, name), result in known.items()
        if of == depth
        for at, cost in zip(result["evaluated_at"][1:], result["training_cost"][1:], strict=True)
    ]
    return Picture(
        f"convergence-{depth}",
        f"{depth} layers",
        "Training cost, the mean since the look before.",
        curves(
            rows,
            x="updates",
            y="training cost",
            series=list(SCHEMES),
            title=f"Training cost of networks of {depth} layers",
        ),
        "No training is done.",
    )


def _findings(known: dict[tuple[int, str], Arrays]) -> list[Finding]:
    findings = []
    for depth in DEPTHS:
        if {(depth, name) for name in SCHEMES} <= known.keys():
            xavier, he = (float(known[depth, name]["training_cost"][-1]) for name in SCHEMES)
            findings.append(
                Finding(
                    f"At {depth} layers He's initialisation learns sooner than Xavier's.",
                    he < xavier,
                    f"cost at the end {he:.3f} against {xavier:.3f}",
                )
            )
    return findings


EXHIBIT = Exhibit("convergence", "22 and 30 layers of rectifiers", wants, draw)
