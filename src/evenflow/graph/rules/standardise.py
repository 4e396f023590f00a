"""Normalisations written out by hand, which ``simplify.standardise`` made single operations."""

from __future__ import annotations

from evenflow.graph.laws.lean import Lean, turned
from evenflow.graph.moments import Moments
from evenflow.graph.rules.normalise import normalised, normalised_back, products_of
from evenflow.graph.rules.registry import Cotangents, Step, register


def _standardised(step: Step) -> Moments:
    return _unit(step).scaled(step.number("scale", 1.0))


def _unit(step: Step) -> Moments:
    centre = bool(step.number("centre"))
    return normalised(step.of("input"), step.axes("dim"), step.number("eps"), centre=centre)


def _standardised_back(step: Step, cotangent: Moments) -> Cotangents:
    arrived = cotangent.scaled(step.number("scale", 1.0))
    back = normalised_back(
        step.of("input"),
        arrived,
        step.axes("dim"),
        step.number("eps"),
        centre=bool(step.number("centre")),
        products=products_of(arrived, _unit(step), _lean(step, cotangent)),
    )
    return {step.name("input"): back}


def _lean(step: Step, cotangent: Moments) -> Lean | None:
    return turned(cotangent.lean, step.number("scale", 1.0))


register(
    "standardise",
    forward=_standardised,
    backward=_standardised_back,
    law=lambda step: step.of("input").scaled(step.number("scale", 1.0)).law,
    leans=lambda step, cotangent: {step.name("input"): _lean(step, cotangent)},
)
