"""What the paper says without a figure: a support-vector machine, step sizes, varying widths."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from evenflow.study.arrays import Arrays
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.models import BY_NAME, best, training, wanted
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.kinds import AnyTrial
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.support_vectors import SupportVectors
from evenflow.study.trial import METHODS, Trial

FIXED = "shapeset-fixed"
SVM, TANH_N = 59.47, 50.47
"""Published test errors in % on 100,000 fixed training images."""
NAMES = ("Tanh", "Tanh N")
SHAPES = {"growing": (0.6, 0.8, 1.0, 1.2, 1.4), "shrinking": (1.4, 1.2, 1.0, 0.8, 0.6)}
"""Widths of the five hidden layers, in units of the scale's."""


def wants(scale: Scale, lookup: Lookup) -> Iterator[AnyTrial]:
    """The machine, tanh N on the same images, and variants of tanh at their plain rates."""
    yield _machine(scale)
    yield from wanted([BY_NAME["Tanh N"]], FIXED, scale, lookup)
    yield from wanted([BY_NAME[name] for name in NAMES], "shapeset", scale, lookup)
    for name in NAMES:
        yield from _variants(name, scale, lookup).values()


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Errors of each variant beside plain training."""
    machine = lookup(_machine(scale))
    network = best(BY_NAME["Tanh N"], FIXED, scale, lookup)
    trained = lookup(network) if network else None
    errors = {name: _errors(name, scale, lookup) for name in NAMES}
    variants = list(dict.fromkeys(variant for name in NAMES for variant in errors[name]))
    return Section(
        name="claims",
        title="Claims without a figure",
        shows="On 100,000 fixed images of Shapeset a support-vector machine with a Gaussian kernel "
        "errs on 59.47 %, tanh N of depth 5 on 50.47 %. Step sizes from the diagonal of the "
        "Hessian or from the variance of gradients help standard tanh, but fall short of N, and "
        "help more together with it. Growing or shrinking widths gain as much from N.",
        tables=[
            Table(
                ("on fixed images", "published", "ours", "difference"),
                [
                    ("support-vector machine", f"{SVM}", *_against(machine, SVM)),
                    ("tanh N, five hidden layers", f"{TANH_N}", *_against(trained, TANH_N)),
                ],
                f"Test error in %; ours with {scale.fixed_images:,} images for the machine.",
            ),
            Table(
                ("", *NAMES),
                [(v, *(_said(errors[name].get(v)) for name in NAMES)) for v in variants],
                "Test error in % of online training, at the learning rate found for plain descent.",
            ),
        ],
        findings=_findings(scale, errors),
        scaled=[*scale.reduced(), *_fewer(scale)],
        data={"errors": errors},
    )


def _machine(scale: Scale) -> SupportVectors:
    return SupportVectors(data=FIXED, images=scale.fixed_images, test_images=scale.test_images)


def _variants(name: str, scale: Scale, lookup: Lookup) -> dict[str, Trial]:
    """Trainings that differ from the model's in one thing; none before its rate is known."""
    model = BY_NAME[name]
    tried = [lookup(training(model, "shapeset", scale, rate)) for rate in scale.rates]
    plain = best(model, "shapeset", scale, lookup)
    if plain is None or any(result is None for result in tried):
        return {}
    found = {"plain": plain}
    for method in METHODS[1:]:
        words = f"steps by {method.replace('_', ' ')}"
        found[words] = msgspec.structs.replace(plain, method=method)
    for shape, widths in SHAPES.items():
        hidden = tuple(round(width * scale.width) for width in widths)
        network = msgspec.structs.replace(plain.network, hidden=hidden)
        found[f"{shape} widths"] = msgspec.structs.replace(plain, network=network)
    return found


def _errors(name: str, scale: Scale, lookup: Lookup) -> dict[str, float]:
    variants = _variants(name, scale, lookup)
    return {
        words: 100 * float(result["test_error"][-1])
        for words, trial in variants.items()
        if (result := lookup(trial)) is not None
    }


def _against(result: Arrays | None, published: float) -> tuple[str, str]:
    if result is None:
        return "–", "–"
    error = 100 * float(result["test_error"][-1])
    return f"{error:.2f}", f"{error - published:+.2f}"


def _said(error: float | None) -> str:
    return "–" if error is None else f"{error:.2f}"


def _fewer(scale: Scale) -> list[str]:
    if scale.fixed_images >= 100_000:
        return []
    return [f"{scale.fixed_images:,} fixed images for the support-vector machine, not 100,000"]


def _findings(scale: Scale, errors: dict[str, dict[str, float]]) -> list[Finding]:
    standard, normalized = (errors[name] for name in NAMES)
    findings = []
    scaled = [f"steps by {method.replace('_', ' ')}" for method in METHODS[1:]]
    if {"plain", *scaled} <= standard.keys() and "plain" in normalized:
        helped = min(standard[words] for words in scaled)
        findings.append(
            judged(
                scale,
                "Step sizes of their own help standard tanh, but less than N does.",
                normalized["plain"] < helped < standard["plain"],
                f"{standard['plain']:.2f} % plain, {helped:.2f} % with the better of the two, "
                f"{normalized['plain']:.2f} % with N alone",
            )
        )
    for shape in SHAPES:
        words = f"{shape} widths"
        if words in standard and words in normalized:
            findings.append(
                judged(
                    scale,
                    f"N helps networks of {words} as well.",
                    normalized[words] < standard[words],
                    f"{normalized[words]:.2f} % against {standard[words]:.2f} %",
                )
            )
    return findings


EXHIBIT = Exhibit("claims", "support vectors, step sizes, widths", wants, draw)
