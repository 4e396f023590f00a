"""Linear operations: matrix products. All are sums of products (``algebra.contract``).

Independent weights of mean zero and variance v over n terms: q' = n v q, and the same for every
pair of elements, s' = n v s. Backwards the same sum runs over the outputs, and for the weight's own
gradient over all examples and positions, where what they have in common adds up.
"""

from __future__ import annotations

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.contract import contracted, matrix_letters
from evenflow.graph.cross.forwards import returned
from evenflow.graph.graph import Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, law_with, register


def _with_bias(step: Step, x: Moments) -> Moments:
    return x.plus(step.of("bias")) if step.has("bias") else x


def _linear_letters(step: Step) -> tuple[str, str, str]:
    batch = "abcdefghij"[: len(step.shape("input")) - 1]
    return (
        batch + "k",
        "ok"[-len(step.shape("weight")) :],
        batch + "o" * (len(step.shape("weight")) - 1),
    )


def _linear(step: Step) -> Moments:
    left, right, result = _linear_letters(step)
    product = contracted(step.of("input"), step.of("weight"), left, right, result)
    return _with_bias(step, _with_returned(step, product))


def _with_returned(step: Step, product: Moments) -> Moments:
    """With what a weight brings back that has made what it reads, transposed."""
    back = returned(step) if step.graph.reused else None
    return product if back is None or back.shape != product.shape else product.plus(back)


def _linear_back(step: Step, cotangent: Moments) -> Cotangents:
    left, right, result = _linear_letters(step)
    return step.total(
        ("input", contracted(cotangent, step.of("weight"), result, right, left)),
        ("weight", contracted(cotangent, step.of("input"), result, left, right)),
        ("bias", cotangent),
    )


register(
    "linear",
    forward=_linear,
    backward=_linear_back,
    law=lambda step: law_with(step, "bias"),
)


def product(x: Moments, y: Moments) -> Moments:
    """Of torch.matmul(x, y), x and y independent."""
    return contracted(x, y, *matrix_letters(len(x.axes), len(y.axes)))


def product_back(x: Moments, y: Moments, cotangent: Moments) -> tuple[Moments, Moments]:
    """Of the gradients of both, summed over broadcast axes."""
    left, right, result = matrix_letters(len(x.axes), len(y.axes))
    return (
        contracted(cotangent, y, result, right, left),
        contracted(cotangent, x, result, left, right),
    )


def _matrix_product(operation: str, left: str, right: str) -> None:
    def backward(step: Step, cotangent: Moments) -> Cotangents:
        to_left, to_right = product_back(step.of(left), step.of(right), cotangent)
        return step.total((left, to_left), (right, to_right))

    register(
        operation,
        forward=lambda step: _with_returned(step, product(step.of(left), step.of(right))),
        backward=backward,
    )


_matrix_product("matmul", "input", "other")
_matrix_product("mm", "input", "mat2")
_matrix_product("bmm", "input", "mat2")
_matrix_product("mv", "input", "vec")
_matrix_product("dot", "input", "tensor")


def _sum_with_product(operation: str, left: str, right: str) -> None:
    """beta·input + alpha·left@right."""

    def forward(step: Step) -> Moments:
        found = product(step.of(left), step.of(right)).scaled(step.number("alpha", 1.0))
        return found.plus(step.of("input").scaled(step.number("beta", 1.0)))

    def backward(step: Step, cotangent: Moments) -> Cotangents:
        arrived = cotangent.scaled(step.number("alpha", 1.0))
        to_left, to_right = product_back(step.of(left), step.of(right), arrived)
        added = cotangent.scaled(step.number("beta", 1.0))
        return step.total((left, to_left), (right, to_right), ("input", added))

    register(
        operation,
        forward=forward,
        backward=backward,
        law=lambda step: law_with(step, "input", step.number("beta", 1.0)),
    )


_sum_with_product("addmm", "mat1", "mat2")
_sum_with_product("baddbmm", "batch1", "batch2")


def _einsum(step: Step) -> tuple[list[str], list[str], str]:
    """Names and letters of the operands, and the result's letters."""
    equation = step.node.arguments.get("equation")
    tensors = step.node.arguments.get("tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple):
        raise NoRuleError("an einsum whose equation is unknown")
    names = [t.name for t in tensors if isinstance(t, Ref)]
    left, _, result = equation.replace(" ", "").partition("->")
    letters = left.split(",")
    if "." in equation:
        letters, result = _spelt_out(step, names, letters, result)
    if "->" not in equation:
        every = "".join(letters)
        result = "".join(sorted(c for c in set(every) if every.count(c) == 1))
    if any(len(set(each)) < len(each) for each in letters):
        raise NoRuleError("an einsum that takes a diagonal")
    return names, letters, result


def _spelt_out(
    step: Step, names: list[str], letters: list[str], result: str
) -> tuple[list[str], str]:
    """Dots replaced by capital letters that nothing else uses."""
    free = [c for c in "ZYXWVUTSRQ" if c not in "".join(letters)]
    most = 0
    spelt = []
    for name, each in zip(names, letters, strict=True):
        count = len(step.graph.shape(name)) - len(each.replace("...", ""))
        most = max(most, count)
        spelt.append(each.replace("...", "".join(free[:count][::-1])))
    return spelt, result.replace("...", "".join(free[:most][::-1]))


def _einsum_forward(step: Step) -> Moments:
    names, letters, result = _einsum(step)
    found, have = step.of_value(names[0]), letters[0]
    for place in range(1, len(names)):
        later = "".join(letters[place + 1 :]) + result
        kept = "".join(c for c in dict.fromkeys(have + letters[place]) if c in later)
        kept = result if place == len(names) - 1 else kept
        found = contracted(found, step.of_value(names[place]), have, letters[place], kept)
        have = kept
    if len(names) == 1:
        found = contracted(found, Moments.constant(1.0), have, "", result)
    return found


def _einsum_back(step: Step, cotangent: Moments) -> Cotangents:
    names, letters, result = _einsum(step)
    gathered: dict[str, Moments] = {}
    for place, name in enumerate(names):
        found, have = cotangent, result
        others = [o for o in range(len(names)) if o != place]
        for turn, other in enumerate(others):
            later = "".join(letters[o] for o in others[turn + 1 :]) + letters[place]
            kept = "".join(c for c in dict.fromkeys(have + letters[other]) if c in later)
            last = turn == len(others) - 1 and set(letters[place]) <= set(have + letters[other])
            kept = letters[place] if last else kept
            found = contracted(found, step.of_value(names[other]), have, letters[other], kept)
            have = kept
        if have != letters[place]:
            raise NoRuleError("an einsum that sums an operand alone, backwards")
        gathered[name] = gathered[name].plus(found) if name in gathered else found
    return gathered


register("einsum", forward=_einsum_forward, backward=_einsum_back)


def _bilinear_letters(step: Step) -> tuple[str, str]:
    batch = "abcdefghij"[: len(step.shape("input1")) - 1]
    return batch, "oxy"


def _bilinear(step: Step) -> Moments:
    batch, weight = _bilinear_letters(step)
    first = contracted(step.of("input1"), step.of("weight"), batch + "x", weight, batch + "oy")
    found = contracted(first, step.of("input2"), batch + "oy", batch + "y", batch + "o")
    return _with_bias(step, found)


def _bilinear_back(step: Step, cotangent: Moments) -> Cotangents:
    batch, weight = _bilinear_letters(step)
    x, y, w = step.of("input1"), step.of("input2"), step.of("weight")
    with_weight = contracted(cotangent, w, batch + "o", weight, batch + "xy")
    with_first = contracted(cotangent, x, batch + "o", batch + "x", batch + "ox")
    return step.total(
        ("input1", contracted(with_weight, y, batch + "xy", batch + "y", batch + "x")),
        ("input2", contracted(with_weight, x, batch + "xy", batch + "x", batch + "y")),
        ("weight", contracted(with_first, y, batch + "ox", batch + "y", weight)),
        ("bias", cotangent),
    )


register(
    "bilinear",
    forward=_bilinear,
    backward=_bilinear_back,
    law=lambda step: law_with(step, "bias"),
)
