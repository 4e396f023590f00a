"""Linear operations: matrix products, convolutions, look-up.

With independent zero-mean weights of second moment v, an output element sums n terms:
q' = n v q + b forwards and n' v q_δ backwards, n and n' the mean numbers of terms that are
really summed. For a convolution both come from counting taps that land inside the tensor.
"""

from __future__ import annotations

from math import prod

from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import landing_taps


def _bias(step: Step, argument: str = "bias") -> float:
    return step.of(argument).second if step.has(argument) else 0.0


def _weighted(
    step: Step, cotangent: float, weight: str, terms_forward: float, terms_backward: float
) -> Cotangents:
    """Gradients of the input, and of the weight: the sum of x·δ over every use of an element."""
    v = step.of(weight).second
    uses = prod(step.node.shape) * terms_forward / max(prod(step.shape(weight)), 1)
    return {
        step.name("input"): terms_backward * v * cotangent,
        step.name(weight): uses * cotangent * step.of("input").second,
    } | _bias_gradient(step, cotangent, weight)


def _bias_gradient(step: Step, cotangent: float, weight: str) -> Cotangents:
    if not step.has("bias"):
        return {}
    uses = prod(step.node.shape) / max(prod(step.shape("bias")), 1)
    return {step.name("bias"): uses * cotangent}


def _linear(step: Step) -> Moments:
    fan_in = step.shape("weight")[-1]
    return step.of("input").linear(fan_in * step.of("weight").second, _bias(step))


def _linear_back(step: Step, cotangent: float) -> Cotangents:
    fan_out, fan_in = step.shape("weight")
    return _weighted(step, cotangent, "weight", fan_in, fan_out)


register("linear", forward=_linear, backward=_linear_back)


def _product(step: Step, left: str, right: str) -> tuple[int, int, int]:
    """Terms summed into one element of the output, of the left and of the right gradient."""
    a, b = step.shape(left), step.shape(right)
    return a[-1], (b[-1] if len(b) > 1 else 1), (a[-2] if len(a) > 1 else 1)


def _matmul(step: Step, left: str = "input", right: str = "other") -> Moments:
    terms, _, _ = _product(step, left, right)
    x, y = step.of(left), step.of(right)
    # A sum of n products with means: n of the pairs are a term with itself, n² − n are not.
    mean = terms * x.mean * y.mean
    cross = terms * (terms - 1) * (x.mean * y.mean) ** 2
    return Moments(
        mean,
        terms * x.second * y.second + cross,
        terms * x.shared_examples * y.shared_examples + cross,
        terms * x.shared_positions * y.shared_positions + cross,
    )


def _matmul_back(
    step: Step, cotangent: float, left: str = "input", right: str = "other"
) -> Cotangents:
    _, to_left, to_right = _product(step, left, right)
    shared = max(prod(step.node.shape[:-2]), 1)
    spread = {side: max(prod(step.shape(side)[:-2]), 1) for side in (left, right)}
    return {
        step.name(left): to_left * step.of(right).second * cotangent * shared / spread[left],
        step.name(right): to_right * step.of(left).second * cotangent * shared / spread[right],
    }


def _addmm(step: Step) -> Moments:
    return _matmul(step, "mat1", "mat2").plus(step.of("input"))


def _addmm_back(step: Step, cotangent: float) -> Cotangents:
    uses = prod(step.node.shape) / max(prod(step.shape("input")), 1)
    return dict(_matmul_back(step, cotangent, "mat1", "mat2")) | {
        step.name("input"): uses * cotangent
    }


def _mm(step: Step) -> Moments:
    return _matmul(step, "input", "mat2")


def _mm_back(step: Step, cotangent: float) -> Cotangents:
    return _matmul_back(step, cotangent, "input", "mat2")


register("matmul", forward=_matmul, backward=_matmul_back)
register("mm", "bmm", forward=_mm, backward=_mm_back)
register("addmm", forward=_addmm, backward=_addmm_back)


def _conv_terms(step: Step, transposed: bool) -> tuple[float, float]:
    """Mean terms summed into an output element, and into an element of the input's gradient."""
    weight = step.shape("weight")
    axes = len(weight) - 2
    sizes_in, sizes_out = step.shape("input")[-axes:], step.node.shape[-axes:]
    stride, dilation = step.numbers("stride", axes), step.numbers("dilation", axes)
    padding = _padding(step, weight[2:], dilation)
    landed = prod(
        landing_taps(b, a, k, s, p, d) if transposed else landing_taps(a, b, k, s, p, d)
        for a, b, k, s, p, d in zip(
            sizes_in, sizes_out, weight[2:], stride, padding, dilation, strict=True
        )
    )
    groups = int(step.number("groups", 1))
    channels_in = weight[0] // groups if transposed else weight[1]
    channels_out = weight[1] if transposed else weight[0] // groups
    return channels_in * landed / prod(sizes_out), channels_out * landed / prod(sizes_in)


def _padding(step: Step, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    given = step.node.arguments.get("padding")
    if given == "same":  # torch pads the smaller half in front
        return tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    if given == "valid":
        return (0,) * len(kernel)
    return step.numbers("padding", len(kernel), default=0)


def _conv(transposed: bool) -> None:
    def forward(step: Step) -> Moments:
        terms, _ = _conv_terms(step, transposed)
        return step.of("input").linear(terms * step.of("weight").second, _bias(step))

    def backward(step: Step, cotangent: float) -> Cotangents:
        return _weighted(step, cotangent, "weight", *_conv_terms(step, transposed))

    name = "conv_transpose" if transposed else "conv"
    register(*(f"{name}{axes}d" for axes in (1, 2, 3)), forward=forward, backward=backward)


_conv(transposed=False)
_conv(transposed=True)


def _embedding(step: Step) -> Moments:
    table = step.of("weight")
    # Two positions hold unlike tokens: only the table's mean is common to them.
    return Moments.independent(table.mean, table.second)


def _embedding_back(step: Step, cotangent: float) -> Cotangents:
    uses = prod(step.node.shape) / max(prod(step.shape("weight")), 1)
    return {step.name("weight"): uses * cotangent}


register("embedding", forward=_embedding, backward=_embedding_back)


def _bilinear(step: Step) -> Moments:
    _, first, second = step.shape("weight")
    x = step.of("input1")
    y = x if step.name("input1") == step.name("input2") else step.of("input2")
    return x.times(y).linear(first * second * step.of("weight").second, _bias(step))


def _bilinear_back(step: Step, cotangent: float) -> Cotangents:
    out, first, second = step.shape("weight")
    v = step.of("weight").second
    to_first = out * second * v * step.of("input2").second * cotangent
    to_second = out * first * v * step.of("input1").second * cotangent
    if step.name("input1") == step.name("input2"):
        return {step.name("input1"): to_first + to_second}
    return {step.name("input1"): to_first, step.name("input2"): to_second}


register("bilinear", forward=_bilinear, backward=_bilinear_back)
