"""Fused attention: softmax(q kᵀ · scale + mask) v, as the composition that it is.

Its parts are those of attention written out: products of independent tensors
(``algebra.contract``) and a softmax (``softmax.attention``), forwards and backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import expanded, gathered, permuted, reshaped, unsqueezed
from evenflow.graph.moments import Moments
from evenflow.graph.rules.linear import product, product_back
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.softmax.attention import softmax, softmax_back
from evenflow.graph.softmax.visible import Visible, causal, complement


@dataclass(frozen=True)
class Attention:
    """One use of attention, step by step."""

    step: Step

    @cached_property
    def scale(self) -> float:
        """What products of queries and keys are multiplied with."""
        return self.step.number("scale", self.step.shape("query")[-1] ** -0.5)

    @cached_property
    def query(self) -> Moments:
        """Queries, scaled."""
        return self.step.of("query").scaled(self.scale)

    @cached_property
    def key(self) -> Moments:
        """With its last two axes exchanged."""
        key = _repeated(self.step, "key")
        rank = len(key.axes)
        return permuted(key, [*range(rank - 2), rank - 1, rank - 2])

    @cached_property
    def value(self) -> Moments:
        """Values, once for each head of queries."""
        return _repeated(self.step, "value")

    @cached_property
    def logits(self) -> Moments:
        """What the softmax is taken of."""
        found = product(self.query, self.key)
        if not self.step.has("attn_mask"):
            return found
        numbers = self.step.values("attn_mask")
        if numbers is not None and numbers.dtype == bool:
            return replace(found, hidden=complement(numbers))
        if self.step.graph.dtype(self.step.name("attn_mask")) == "bool":
            raise NoRuleError("attention under a mask that only the data knows")
        return found.plus(self.step.of("attn_mask"))

    @cached_property
    def seen(self) -> Visible | None:
        """Which keys a row sees, where the code says so."""
        if not self.step.number("is_causal"):
            return None
        rank = len(self.logits.axes)
        return causal(*self.logits.shape[-2:], axis=rank - 2)

    @cached_property
    def kept(self) -> Moments:
        """What dropout multiplies the probabilities with."""
        dropped = self.step.number("dropout_p")
        if dropped >= 1:
            return Moments.constant(0.0)
        shape = self.logits.shape if dropped else ()
        return Moments.independent(1.0, 1 / (1 - dropped), shape)

    @cached_property
    def probabilities(self) -> Moments:
        """Of the softmax, dropout included."""
        found = softmax(self.logits, len(self.logits.axes) - 1, self.seen)
        return found.times(self.kept)


def _attention(step: Step) -> Moments:
    use = Attention(step)
    return product(use.probabilities, use.value)


def _attention_back(step: Step, cotangent: Moments) -> Cotangents:
    use = Attention(step)
    to_kept, to_value = product_back(use.probabilities, use.value, cotangent)
    to_probabilities = to_kept.times(use.kept)
    last = len(use.logits.axes) - 1
    to_logits = softmax_back(use.logits, to_probabilities, last, use.seen)
    to_query, to_key = product_back(use.query, use.key, to_logits)
    rank = len(to_key.axes)
    turned = permuted(to_key, [*range(rank - 2), rank - 1, rank - 2])
    return step.total(
        ("query", to_query.scaled(use.scale)),
        ("key", _once(step, "key", turned)),
        ("value", _once(step, "value", to_value)),
        ("attn_mask", to_logits),
    )


register("scaled_dot_product_attention", forward=_attention, backward=_attention_back)


def _repeated(step: Step, argument: str) -> Moments:
    """Keys or values once for each head of queries."""
    x = step.of(argument)
    copies = _copies(step, argument)
    if copies == 1:
        return x
    axis, shape = len(x.axes) - 2, x.shape
    wide = (*shape[:axis], copies, *shape[axis:])
    return reshaped(
        expanded(unsqueezed(x, axis), wide),
        (*shape[: axis - 1], copies * shape[axis - 1], *shape[axis:]),
    )


def _copies(step: Step, argument: str) -> int:
    if not step.number("enable_gqa"):
        return 1
    return step.shape("query")[-3] // step.shape(argument)[-3]


def _once(step: Step, argument: str, gradient: Moments) -> Moments:
    """The gradient of repeated keys or values, summed over the copies."""
    copies = _copies(step, argument)
    if copies == 1:
        return gradient
    x = step.of(argument)
    axis, shape = len(x.axes) - 2, gradient.shape
    wide = (*shape[: axis - 1], shape[axis - 1] // copies, copies, *shape[axis:])
    summed = gathered(reshaped(gradient, wide), unsqueezed(x, axis))
    return reshaped(summed, x.shape)
