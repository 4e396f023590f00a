"""How kinds of examples pass operations: each by the operation's own rule."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace
from typing import cast

from evenflow.graph.kinds.batch import by_batch, by_batch_back
from evenflow.graph.kinds.kinds import Kinds, dim_of_examples, examples_in
from evenflow.graph.laws.joined import apart, marked, with_parts
from evenflow.graph.moments import Moments
from evenflow.graph.rules.normalise import batch_axes
from evenflow.graph.rules.passing import CHANNELS, Part, backwards, by_part, forwards
from evenflow.graph.rules.registry import Cotangents, Rule, Step

_APART = frozenset([
    "activation", "prelu", "glu", "add", "sub", "rsub", "mul", "div", "neg", "dropout",
    "feature_dropout", "linear", "addmm", "mean", "sum", "cat", "concat", "stack", "layer_norm",
    "rms_norm", "group_norm", "instance_norm", "standardise", "batch_norm", "alias", "clone",
    "contiguous", "to", "_to_copy", "type_as", "detach", "view", "reshape", "flatten", "unflatten",
    "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze", "expand", "select",
    "slice", "narrow", "pad", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "scaled_dot_product_attention",
])  # fmt: skip
_APART_TOO = ("conv", "avg_pool", "adaptive_", "max_pool", "upsample_")
"""Operations that read no example into another, but along an axis that their arguments name."""


class KnownKinds:
    """What is known of each kind by itself, more with each operation."""

    def __init__(self) -> None:
        self.known: dict[str, Kinds] = {}
        self._each: list[dict[str, Moments]] = []

    def enter(self, name: str, kinds: Kinds) -> None:
        """Moments of a value, of each kind."""
        self.known[name] = kinds
        self._each = self._each or [{} for _ in kinds]
        for known, kind in zip(self._each, kinds, strict=True):
            known[name] = kind

    def reading(self, step: Step, kind: int) -> Step:
        """An operation that reads values of one kind."""
        return replace(step, known=ChainMap(self._each[kind], cast(dict[str, Moments], step.known)))


def forward(rule: Rule, step: Step, result: Moments, values: KnownKinds) -> Kinds:
    """Kinds of an operation's result; none where all examples are alike."""
    read = [name for _, name in step.node.refs() if name in values.known]
    if not read or not _keeps_apart(step, result, read):
        return ()
    axes = batch_axes(step)
    if axes:
        return _by_batch(rule, step, axes, values.known[step.name("input")], result)
    count = len(values.known[read[0]])
    found = (forwards(rule, values.reading(step, kind)) for kind in range(count))
    return tuple(each for each in found if isinstance(each, Moments))


def backward(
    rule: Rule,
    step: Step,
    cotangent: Moments,
    arriving: Kinds,
    sent: Cotangents,
    values: KnownKinds,
) -> dict[str, Kinds]:
    """Kinds of the gradients that an operation sends back, by value; ``arriving`` are those of its
    result, if they are of several kinds."""
    read = [name for _, name in step.node.refs() if name in values.known]
    if not (read or arriving) or not _keeps_apart(step, step.known[step.node.name], read):
        return {}
    count = len(arriving or values.known[read[0]])
    axes, name = batch_axes(step), step.name("input")
    if axes:
        known = values.known.get(name, ())
        every = arriving or (cotangent,) * count
        return {name: _by_batch_back(rule, step, axes, every, known, sent[name])}
    found = [
        backwards(rule, values.reading(step, kind), arriving[kind] if arriving else cotangent)
        for kind in range(count)
    ]
    # A parameter's gradient is a sum over all examples, of which a kind has but its own.
    own = [name for name in sent if name not in step.graph.parameters]
    return {name: tuple(kind[name] for kind in found) for name in own}


def _by_batch(
    rule: Rule, step: Step, axes: tuple[int, ...], kinds: Kinds, result: Moments
) -> Kinds:
    """Part by part of what the channels were joined of."""
    if result.parts is None:
        found = by_batch(step, axes, kinds, result)
        return tuple(marked(kind, law=result.law) for kind in found)
    each = [
        _by_batch(rule, own, axes, tuple(_part(kind, own) for kind in kinds), _part(result, own))
        for own in by_part(rule, step)
    ]
    return tuple(with_parts(parts, CHANNELS) for parts in zip(*each, strict=True))


def _by_batch_back(
    rule: Rule, step: Step, axes: tuple[int, ...], arriving: Kinds, known: Kinds, sent: Moments
) -> Kinds:
    if sent.parts is None:
        return by_batch_back(step, axes, arriving, known, sent)
    steps, each = list(by_part(rule, step)), []
    sizes = [own.size for own in steps]
    arrived = [apart(kind, CHANNELS, sizes) for kind in arriving]
    for own in steps:
        values = tuple(_part(kind, own) for kind in known)
        gradients = tuple(parts[own.index] for parts in arrived)
        each.append(by_batch_back(own, axes, gradients, values, _part(sent, own)))
    return tuple(with_parts(parts, CHANNELS) for parts in zip(*each, strict=True))


def _part(x: Moments, own: Part) -> Moments:
    assert x.parts is not None
    return x.parts.each[own.index]


def _keeps_apart(step: Step, result: Moments, read: list[str]) -> bool:
    """Whether each example of the result follows from the same example of what is read."""
    op = step.node.op
    if op not in _APART and not op.startswith(_APART_TOO):
        return False
    if step.name("weight") in read or step.name("bias") in read:
        return False
    if dim_of_examples(result) is None:
        return False
    count = examples_in(result.axes)
    return all(examples_in(step.known[name].axes) == count for name in read)
