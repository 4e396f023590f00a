"""Linear operations: matrix products, convolutions, look-up.

A sum of n products of independent x and w has second moment n q_x q_w, and as much again as pairs
of terms share: n m_w² times m_x² for each other unit, s_T for each other position of the same one.
Weights of mean zero have the first term alone. n is the mean number of terms that are really
summed. Backwards q_x' = n' q_w q_δ, n' the number of terms in the gradient of one input element.
"""

from __future__ import annotations

from math import prod

from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import landing_taps


def _summed(x: Moments, w: Moments, terms: float, positions: float = 1.0) -> Moments:
    """Moments of a sum of ``terms`` products x·w, of which ``positions`` are of one unit each."""

    def at(of_x: float, of_w: float) -> float:
        beside = max(positions - 1, 0.0) * min(of_x, x.shared_positions)
        across = max(terms - max(positions, 1.0), 0.0) * x.mean**2
        return terms * (of_x * of_w + (beside + across) * w.mean**2)

    return Moments(
        terms * x.mean * w.mean,
        at(x.second, w.second),
        at(x.shared_examples, w.shared_examples),
        at(x.shared_positions, w.shared_positions),
    )


def _with_bias(step: Step, x: Moments) -> Moments:
    return x.plus(step.of("bias")) if step.has("bias") else x


def _weighted(
    step: Step, cotangent: float, terms_forward: float, terms_backward: float
) -> Cotangents:
    """Gradients of the input, and of the weight: the sum of x·δ over every use of an element."""
    uses = step.copies("weight") * terms_forward
    return step.total(
        ("input", terms_backward * step.of("weight").second * cotangent),
        ("weight", uses * step.of("input").second * cotangent),
        *_to_bias(step, cotangent),
    )


def _to_bias(step: Step, cotangent: float) -> list[tuple[str, float]]:
    return [("bias", step.copies("bias") * cotangent)] if step.has("bias") else []


def _linear(step: Step) -> Moments:
    fan_in = step.shape("weight")[-1]
    return _with_bias(step, _summed(step.of("input"), step.of("weight"), fan_in))


def _linear_back(step: Step, cotangent: float) -> Cotangents:
    *out, fan_in = step.shape("weight")
    return _weighted(step, cotangent, fan_in, prod(out))


register("linear", forward=_linear, backward=_linear_back)


def _product(step: Step, left: str, right: str) -> Moments:
    return _summed(step.of(left), step.of(right), step.shape(left)[-1])


def _product_back(step: Step, cotangent: float, left: str, right: str) -> Cotangents:
    a, b = step.shape(left), step.shape(right)
    rows, columns = a[-2] if len(a) > 1 else 1, b[-1] if len(b) > 1 else 1
    products = prod(step.node.shape) / max(rows * columns, 1)
    return step.total(
        (left, products / prod(a[:-2]) * columns * step.of(right).second * cotangent),
        (right, products / prod(b[:-2]) * rows * step.of(left).second * cotangent),
    )


def _matrix_product(operation: str, left: str, right: str) -> None:
    register(
        operation,
        forward=lambda step: _product(step, left, right),
        backward=lambda step, cotangent: _product_back(step, cotangent, left, right),
    )


_matrix_product("matmul", "input", "other")
_matrix_product("mm", "input", "mat2")
_matrix_product("bmm", "input", "mat2")


def _sum_with_product(operation: str, left: str, right: str) -> None:
    """beta·input + alpha·left@right."""

    def forward(step: Step) -> Moments:
        product = _product(step, left, right).scaled(step.number("alpha", 1.0))
        return product.plus(step.of("input").scaled(step.number("beta", 1.0)))

    def backward(step: Step, cotangent: float) -> Cotangents:
        back = _product_back(step, step.number("alpha", 1.0) ** 2 * cotangent, left, right)
        added = step.number("beta", 1.0) ** 2 * step.copies("input") * cotangent
        return {**back, step.name("input"): added}

    register(operation, forward=forward, backward=backward)


_sum_with_product("addmm", "mat1", "mat2")
_sum_with_product("baddbmm", "batch1", "batch2")


def _conv_terms(step: Step, transposed: bool) -> tuple[float, float, float]:
    """Mean terms summed into an output element, and into an element of the input's gradient; and
    how many of the former are positions of one channel.
    """
    weight = step.shape("weight")
    axes = len(weight) - 2
    sizes_in, sizes_out = step.shape("input")[-axes:], step.node.shape[-axes:]
    stride, dilation = step.numbers("stride", axes), step.numbers("dilation", axes)
    padding = _padding(step, weight[2:], dilation)
    landed = prod(
        sum(landing_taps(b, a, k, s, p, d) if transposed else landing_taps(a, b, k, s, p, d))
        for a, b, k, s, p, d in zip(
            sizes_in, sizes_out, weight[2:], stride, padding, dilation, strict=True
        )
    )
    groups = int(step.number("groups", 1))
    channels_in = weight[0] // groups if transposed else weight[1]
    channels_out = weight[1] if transposed else weight[0] // groups
    taps = landed / prod(sizes_out)
    return channels_in * taps, channels_out * landed / prod(sizes_in), taps


def _padding(step: Step, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    given = step.node.arguments.get("padding")
    if given == "same":  # torch pads the smaller half in front
        return tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    if given == "valid":
        return (0,) * len(kernel)
    return step.numbers("padding", len(kernel), default=0)


def _conv(transposed: bool) -> None:
    def forward(step: Step) -> Moments:
        terms, _, taps = _conv_terms(step, transposed)
        return _with_bias(step, _summed(step.of("input"), step.of("weight"), terms, taps))

    def backward(step: Step, cotangent: float) -> Cotangents:
        terms_forward, terms_backward, _ = _conv_terms(step, transposed)
        return _weighted(step, cotangent, terms_forward, terms_backward)

    name = "conv_transpose" if transposed else "conv"
    register(*(f"{name}{axes}d" for axes in (1, 2, 3)), forward=forward, backward=backward)


_conv(transposed=False)
_conv(transposed=True)


def _embedding(step: Step) -> Moments:
    table = step.of("weight")
    # Two positions hold unlike tokens: only the table's mean is common to them.
    return Moments.independent(table.mean, table.second)


def _embedding_back(step: Step, cotangent: float) -> Cotangents:
    return {step.name("weight"): step.copies("weight") * cotangent}


register("embedding", forward=_embedding, backward=_embedding_back)


def _bilinear(step: Step) -> Moments:
    _, first, second = step.shape("weight")
    pairs = step.of("input1").times(step.of("input2"))
    return _with_bias(step, _summed(pairs, step.of("weight"), first * second))


def _bilinear_back(step: Step, cotangent: float) -> Cotangents:
    out, first, second = step.shape("weight")
    x, y, w = step.of("input1").second, step.of("input2").second, step.of("weight").second
    return step.total(
        ("input1", out * second * w * y * cotangent),
        ("input2", out * first * w * x * cotangent),
        ("weight", step.copies("weight") * first * second * x * y * cotangent),
        *_to_bias(step, cotangent),
    )


register("bilinear", forward=_bilinear, backward=_bilinear_back)
