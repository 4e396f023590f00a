"""Levels of the same numbers in another order or shape."""

from __future__ import annotations

from collections.abc import Mapping

from evenflow.graph.levels.levels import Levels
from evenflow.graph.levels.registry import Found, Use, register
from evenflow.graph.rules.registry import Arriving, Result
from evenflow.graph.rules.shape import PERMUTATIONS, VIEWS, order_of


def _kept(use: Use, _result: Result) -> Levels | None:
    return use.of("input")


def _kept_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    return {use.step.name("input"): levels}


register(
    *(VIEWS - {"flip", "roll"}),
    "neg",
    "dropout",
    forward=_kept,
    backward=_kept_back,
)


def _permuted(levels: Levels | None, shape: tuple[int, ...], order: list[int]) -> Levels | None:
    span = None if levels is None else levels.span(shape)
    if levels is None or span is None:
        return None
    places = [order.index(axis) for axis in span]
    if places != list(range(places[0], places[0] + len(places))):
        return None
    return levels.moved(places[-1], [shape[a] for a in order])


def _order_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    order = order_of(use.step)
    back = [order.index(axis) for axis in range(len(order))]
    return {use.step.name("input"): _permuted(levels, use.step.node.shape, back)}


register(
    *PERMUTATIONS,
    forward=lambda use, _: _permuted(use.of("input"), use.step.shape("input"), order_of(use.step)),
    backward=_order_back,
)


def _broadcast(levels: Found, before: tuple[int, ...], after: tuple[int, ...]) -> Levels | None:
    return levels.broadcast(before, after) if isinstance(levels, Levels) else None


register(
    "expand",
    "expand_as",
    "broadcast_to",
    forward=lambda use, _: _broadcast(
        use.of("input"), use.step.shape("input"), use.step.node.shape
    ),
    backward=lambda use, _, levels: {
        use.step.name("input"): _broadcast(levels, use.step.node.shape, use.step.shape("input"))
    },
)
