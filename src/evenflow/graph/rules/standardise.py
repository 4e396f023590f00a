"""Normalisations written out by hand, which ``graph.standardise`` made single operations."""

from __future__ import annotations

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
        products=products_of(step, arrived, _unit(step)),
    )
    return {step.name("input"): back}


register("standardise", forward=_standardised, backward=_standardised_back)
