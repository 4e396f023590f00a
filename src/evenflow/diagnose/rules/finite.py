"""Rules on values that are no numbers: NaN and infinity, in inputs, weights, signals, gradients."""

from __future__ import annotations

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.path import name_of
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.record.record import Record

_FINITE = "finite values"


class NonfiniteForward(Rule):
    """The forward pass makes NaN or infinite values.

    One NaN in an activation makes the loss NaN, and after the next step all weights.

    Measured: results that are NaN or infinite, where such values reach the end of the network or
    a gradient. An attention mask of −∞, which a softmax takes away again, is no fault.

    Error at the first operation that makes them.

    Remedy: look at that operation: a division by zero, a logarithm or root of a negative number,
    a row that is masked entirely, an overflow in half precision.
    """

    code = "EF107"
    name = "nonfinite-forward"
    level = "error"
    explains = ("EF204", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        affected = [layer for layer in record.layers if layer.forward.nonfinite]
        read = {name for layer in record.layers for name in layer.inputs}
        ends = [layer for layer in affected if layer.node not in read]
        spoilt = any(layer.backward and layer.backward.nonfinite for layer in record.layers)
        if not affected or not (ends or spoilt):
            return []
        first = affected[0]
        return [
            self.finding(
                "error",
                where=name_of(first),
                source=first.source,
                others=tuple(name_of(layer) for layer in affected[1:]),
                measured=_count(first.forward.nonfinite, first.forward.count),
                expected=_FINITE,
                why="They spread to the loss, and with the next step to every weight.",
                remedy=f"look at what {first.op} is given: a division by zero, a logarithm or root "
                "of a negative number, a row masked entirely, an overflow in half precision",
            )
        ]


class NonfiniteBackward(Rule):
    """The backward pass makes NaN or infinite gradients.

    The forward pass may be sound and its derivative not: a root at zero, a norm of a zero vector,
    a `where` whose other branch is NaN, an overflow in half precision.

    Measured: the gradient with respect to every recorded result and every parameter.

    Error at the last operation that has one: backwards, the first.

    Remedy: add an ε under roots and norms, keep the argument of both branches of a `where` valid,
    scale the loss in half precision.
    """

    code = "EF204"
    name = "nonfinite-backward"
    level = "error"
    needs = ("gradients",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        results = [
            (name_of(layer), layer.source, layer.backward)
            for layer in reversed(record.layers)
            if layer.backward and layer.backward.nonfinite
        ]
        weights = [
            (weight.name, "", weight.gradient)
            for weight in record.weights
            if weight.gradient and weight.gradient.nonfinite
        ]
        affected = [*results, *weights]
        if not affected:
            return []
        where, source, statistics = affected[0]
        return [
            self.finding(
                "error",
                where=where,
                source=source,
                others=tuple(name for name, *_ in affected[1:]),
                measured=_count(statistics.nonfinite, statistics.count) + " of its gradient",
                expected=_FINITE,
                why="The next step writes them into the weights.",
                remedy="add an ε under roots, norms and logarithms after this place, and keep both "
                "branches of a where valid; in half precision, scale the loss",
            )
        ]


class NonfiniteWeights(Rule):
    """A parameter holds NaN or infinite values.

    Measured: every parameter's values. Error.

    Remedy: initialise it anew, `ef.init_(model, inputs)`; look for a division by a fan of zero, or
    a checkpoint of a training that had already failed.
    """

    code = "EF305"
    name = "nonfinite-weights"
    level = "error"
    explains = ("EF107", "EF204", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        affected = [weight for weight in record.weights if weight.values.nonfinite]
        if not affected:
            return []
        first = affected[0]
        return [
            self.finding(
                "error",
                where=first.name,
                others=tuple(weight.name for weight in affected[1:]),
                measured=_count(first.values.nonfinite, first.values.count),
                expected=_FINITE,
                why="Whatever is computed from it is NaN.",
                remedy="initialise it anew with ef.init_(model, inputs), or find the checkpoint "
                "or formula that it came from",
            )
        ]


class NonfiniteInputs(Rule):
    """The batch holds NaN or infinite values.

    Measured: every floating-point input. Error.

    Remedy: clean the data; impute missing values; check the normalisation for a feature whose
    standard deviation is zero.
    """

    code = "EF503"
    name = "nonfinite-inputs"
    level = "error"
    needs = ("inputs",)
    explains = ("EF107", "EF204", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for each input."""
        return [
            self.finding(
                "error",
                where=name,
                measured=_count(statistics.nonfinite, statistics.count),
                expected=_FINITE,
                why="Whatever is computed from them is NaN.",
                remedy="impute or drop missing values; check that no feature was divided by a "
                "standard deviation of zero",
            )
            for name, statistics in record.inputs.items()
            if statistics.nonfinite
        ]


def _count(nonfinite: int, count: int) -> str:
    return f"{nonfinite} of {count} values are NaN or infinite"


RULES = (NonfiniteForward, NonfiniteBackward, NonfiniteWeights, NonfiniteInputs)
