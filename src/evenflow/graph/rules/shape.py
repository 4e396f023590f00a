"""Shape and indexing: the same numbers in another order, or a part of them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from evenflow.graph.graph import Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register

ORDER_ONLY = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "transpose",
        "permute",
        "t",
        "numpy_T",
        "movedim",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "clone",
        "alias",
        "view_as",
        "reshape_as",
        "flip",
        "roll",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "lift_fresh",
        "lift_fresh_copy",
        "to",
        "_to_copy",
        "type_as",
        "swapaxes",
    ]
)
"""Operations that move numbers without changing or losing any."""

PARTS = frozenset(
    [
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "chunk",
        "getitem",
        "unbind",
        "narrow",
        "index_select",
    ]
)
"""Operations that keep a part of the numbers."""


def _same(step: Step) -> Moments:
    return step.of("input")


def _back(step: Step, cotangent: float) -> Cotangents:
    # Elements that were left out get no gradient: the energy spreads over the whole tensor.
    share = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return {step.name("input"): cotangent * share}


register(*ORDER_ONLY, *PARTS, forward=_same, backward=_back)


def _expanded_back(step: Step, cotangent: float) -> Cotangents:
    copies = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return {step.name("input"): cotangent * copies}


def _expanded(step: Step) -> Moments:
    # Copies along any axis but the examples' are the same number at several positions.
    x, given = step.of("input"), step.shape("input")
    kept = len(given) == len(step.node.shape) and given[1:] == step.node.shape[1:]
    return x if kept else replace(x, shared_positions=x.second)


register("expand", "expand_as", "repeat", forward=_expanded, backward=_expanded_back)


def _parts(step: Step) -> list[tuple[str, float]]:
    """Names of the joined tensors and the share of the result that each makes up."""
    joined = step.node.arguments.get("tensors")
    names = [r.name for r in joined if isinstance(r, Ref)] if isinstance(joined, tuple) else []
    total = sum(prod(step.graph.shape(name)) for name in names)
    return [(name, prod(step.graph.shape(name)) / max(total, 1)) for name in names]


def _joined(step: Step) -> Moments:
    parts = [(step.known[name], share) for name, share in _parts(step)]
    return Moments(
        sum(share * m.mean for m, share in parts),
        sum(share * m.second for m, share in parts),
        sum(share * m.shared_examples for m, share in parts),
        sum(share * m.shared_positions for m, share in parts),
    )


def _joined_back(step: Step, cotangent: float) -> Cotangents:
    gathered: dict[str, float] = {}
    for name, _ in _parts(step):
        gathered[name] = gathered.get(name, 0.0) + cotangent
    return gathered


register("cat", "stack", "concat", forward=_joined, backward=_joined_back)


def _padded_share(step: Step) -> float:
    return prod(step.shape("input")) / max(prod(step.node.shape), 1)


def _padded(step: Step) -> Moments:
    share, x = _padded_share(step), step.of("input")
    if not _constant(step):  # reflected or repeated edges: more of the same numbers
        return x
    rim, rest = Moments.constant(step.number("value")), 1 - share
    return Moments(
        share * x.mean + rest * rim.mean,
        share * x.second + rest * rim.second,
        share * x.shared_examples + rest * rim.second,
        share * x.shared_positions + rest * rim.second,
    )


def _padded_back(step: Step, cotangent: float) -> Cotangents:
    # A constant rim keeps its part of the gradient; a repeated one hands it on.
    return {step.name("input"): cotangent if _constant(step) else cotangent / _padded_share(step)}


def _constant(step: Step) -> bool:
    return step.node.arguments.get("mode", "constant") == "constant"


register("pad", "constant_pad_nd", forward=_padded, backward=_padded_back)
