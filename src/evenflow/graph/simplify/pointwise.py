"""Pointwise operations as functions of one real variable, with their derivatives.

A chain such as ``x / (1 + abs(x))`` or ``0.5 * x * (1 + tanh(…))`` reads one tensor several times,
so its parts are not independent. Here such a chain becomes a single function of its root, carried
as value and derivative together (forward-mode differentiation), and is given back as an
Activation whose Gaussian moments the theory can integrate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evenflow.graph.graph import Argument, Node
from evenflow.theory.activations import Activation, catalogue, find, from_callable

Array = npt.NDArray[np.float64]
Dual = tuple[Array, Array]
"""Value and derivative with respect to the root."""


@dataclass(frozen=True)
class Pointwise:
    """A function of the value named ``root``, and how to write it with x for the root."""

    root: str
    text: str
    dual: Callable[[Array], Dual]
    known: Activation | None = None
    """The catalogue's own, where the chain is one operation on the root."""
    affine: bool = False


def _unary(
    function: Callable[[Array], Array], derivative: Callable[[Array], Array]
) -> Callable[[Dual], Dual]:
    return lambda x: (function(x[0]), derivative(x[0]) * x[1])


def _erf(x: Array) -> Array:
    from scipy.special import erf  # slow to import

    return erf(x)  # type: ignore[no-any-return]


_UNARY: Mapping[str, Callable[[Dual], Dual]] = {
    "abs": _unary(np.abs, np.sign),
    "neg": _unary(np.negative, lambda x: -np.ones_like(x)),
    "exp": _unary(np.exp, np.exp),
    "expm1": _unary(np.expm1, np.exp),
    "log": _unary(np.log, np.reciprocal),
    "log1p": _unary(np.log1p, lambda x: 1 / (1 + x)),
    "sqrt": _unary(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "rsqrt": _unary(lambda x: x**-0.5, lambda x: -0.5 * x**-1.5),
    "reciprocal": _unary(np.reciprocal, lambda x: -(x**-2.0)),
    "square": _unary(np.square, lambda x: 2 * x),
    "sin": _unary(np.sin, np.cos),
    "cos": _unary(np.cos, lambda x: -np.sin(x)),
    "atan": _unary(np.arctan, lambda x: 1 / (1 + x * x)),
    "sinh": _unary(np.sinh, np.cosh),
    "cosh": _unary(np.cosh, np.sinh),
    "erf": _unary(_erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x)),
}


def _option(name: str) -> Callable[[Node], float]:
    def read(node: Node) -> float:
        value = node.arguments.get(name)
        return float(value) if isinstance(value, (int, float)) else 0.0

    return read


_CATALOGUE: Mapping[str, tuple[str, Mapping[str, Callable[[Node], float]]]] = {
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": _option("negative_slope")}),
    "elu": ("elu", {"alpha": _option("alpha")}),
    "selu": ("selu", {}),
    "celu": ("celu", {"alpha": _option("alpha")}),
    "sigmoid": ("logistic", {}),
    "tanh": ("tanh", {}),
    "silu": ("silu", {}),
    "mish": ("mish", {}),
    "softplus": ("softplus", {"beta": _option("beta"), "threshold": _option("threshold")}),
    "hardsigmoid": ("hardsigmoid", {}),
    "hardswish": ("hardswish", {}),
    "log_sigmoid": ("logsigmoid", {}),
    "softshrink": ("softshrink", {"lambd": _option("lambd")}),
    "hardshrink": ("hardshrink", {"lambd": _option("lambd")}),
    "sin": ("sin", {}),
}


def catalogued(node: Node) -> Activation | None:
    """The catalogue's activation that a single operation is, or None."""
    if node.op == "gelu":
        return find("gelu_tanh" if node.arguments.get("approximate") == "tanh" else "gelu")
    if node.op == "hardtanh":
        low, high = _option("min_val")(node), _option("max_val")(node)
        if (low, high) == (0.0, 6.0):
            return find("relu6")
        return find("hardtanh", min_val=low, max_val=high)
    if node.op in _CATALOGUE:
        name, options = _CATALOGUE[node.op]
        return find(name, **{key: read(node) for key, read in options.items()})
    return None


def compose(node: Node, operands: Mapping[str, Pointwise | float]) -> Pointwise | None:
    """``node`` as one function of the root that all its operands share; None if it is no such."""
    functions = [operand for operand in operands.values() if isinstance(operand, Pointwise)]
    if not functions or len({f.root for f in functions}) != 1:
        return None
    root = functions[0].root
    first = operands.get("input")
    known = catalogued(node)
    if known is not None and isinstance(first, Pointwise) and len(operands) == 1:
        outer = _unary(known.function, known.derivative)
        bare = first.text == "x"
        options = "".join(f", {key}={value!r}" for key, value in known.params.items())
        text = f"{known.name}({first.text}{options})"
        return Pointwise(root, text, _after(outer, first), known if bare else None)
    if node.op in _UNARY and isinstance(first, Pointwise):
        affine = node.op == "neg" and first.affine
        return Pointwise(
            root, f"{node.op}({first.text})", _after(_UNARY[node.op], first), None, affine
        )
    if node.op in _CLAMPS:
        return _clamped(node, first)
    if node.op == "where":
        return _choice(root, operands)
    return _binary(node, root, operands)


def _clamped(node: Node, x: Pointwise | float | None) -> Pointwise | None:
    """Between two numbers, of which one may be missing."""
    bounds = [node.arguments.get(name) for name in ("min", "max")]
    low, high = (
        float(bound) if isinstance(bound, (int, float)) else None if bound is None else np.nan
        for bound in bounds
    )
    if not isinstance(x, Pointwise) or np.nan in (low, high):
        return None

    def dual(z: Array) -> Dual:
        value, slope = x.dual(z)
        inside = (value >= (-np.inf if low is None else low)) & (
            value <= (np.inf if high is None else high)
        )
        return np.clip(value, low, high), slope * inside

    return Pointwise(x.root, f"clamp({x.text}, {low}, {high})", dual)


def _choice(root: str, operands: Mapping[str, Pointwise | float]) -> Pointwise | None:
    """One of two functions, by a comparison."""
    condition = operands.get("condition")
    if not isinstance(condition, Pointwise) or not {"input", "other"} <= operands.keys():
        return None
    yes, no = operands["input"], operands["other"]

    def dual(z: Array) -> Dual:
        chosen = condition.dual(z)[0] > 0
        left, right = _dual(yes, z), _dual(no, z)
        return np.where(chosen, left[0], right[0]), np.where(chosen, left[1], right[1])

    return Pointwise(root, f"({_text(yes)} if {condition.text} else {_text(no)})", dual)


def _after(outer: Callable[[Dual], Dual], inner: Pointwise) -> Callable[[Array], Dual]:
    return lambda z: outer(inner.dual(z))


def _binary(node: Node, root: str, operands: Mapping[str, Pointwise | float]) -> Pointwise | None:
    values = list(operands.values())
    if node.op == "pow" and "exponent" in operands:
        values = [operands["input"], operands["exponent"]]
    if len(values) != 2 or node.op not in _SIGNS:
        return None
    left, right = values
    if node.op == "rsub":
        left, right = right, left
    alpha: Argument = node.arguments.get("alpha", 1)
    weight = float(alpha) if isinstance(alpha, (int, float)) else 1.0
    operation = _BINARY["sub" if node.op == "rsub" else node.op]

    def dual(z: Array) -> Dual:
        return operation(_dual(left, z), _dual(right, z), weight)

    affine = all(isinstance(v, float) or v.affine for v in values) and (
        node.op in ("add", "sub", "rsub")
        or (isinstance(right, float) and node.op in ("mul", "div"))
        or (isinstance(left, float) and node.op == "mul")
    )
    by = "" if weight == 1 else f"{weight!r}·"
    text = f"({_text(left)} {_SIGNS[node.op]} {by}{_text(right)})"
    return Pointwise(root, text, dual, affine=affine)


def _dual(operand: Pointwise | float, z: Array) -> Dual:
    if isinstance(operand, Pointwise):
        return operand.dual(z)
    return np.full_like(z, operand), np.zeros_like(z)


def _text(operand: Pointwise | float) -> str:
    return operand.text if isinstance(operand, Pointwise) else repr(operand)


def _power(x: Dual, y: Dual, _weight: float) -> Dual:
    exponent = y[0]
    return x[0] ** exponent, exponent * x[0] ** (exponent - 1) * x[1]


def _compared(compare: Callable[[Array, Array], Array]) -> Callable[[Dual, Dual, float], Dual]:
    """1 where it holds, else 0."""
    return lambda x, y, _: (np.asarray(compare(x[0], y[0]), dtype=float), np.zeros_like(x[0]))


def _extreme(first: Callable[[Array, Array], Array]) -> Callable[[Dual, Dual, float], Dual]:
    """x where ``first`` holds, else y."""

    def chosen(x: Dual, y: Dual, _weight: float) -> Dual:
        one = first(x[0], y[0])
        return np.where(one, x[0], y[0]), np.where(one, x[1], y[1])

    return chosen


COMPARISONS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_CLAMPS = frozenset(["clamp", "clamp_min", "clamp_max"])
_SIGNS = {"add": "+", "sub": "−", "rsub": "−", "mul": "·", "div": "/", "pow": "^"} | {
    **COMPARISONS,
    "maximum": "max",
    "minimum": "min",
}
_BINARY: Mapping[str, Callable[[Dual, Dual, float], Dual]] = {
    "add": lambda x, y, a: (x[0] + a * y[0], x[1] + a * y[1]),
    "sub": lambda x, y, a: (x[0] - a * y[0], x[1] - a * y[1]),
    "mul": lambda x, y, _: (x[0] * y[0], x[0] * y[1] + x[1] * y[0]),
    "div": lambda x, y, _: (x[0] / y[0], (x[1] * y[0] - x[0] * y[1]) / y[0] ** 2),
    "pow": _power,
    "gt": _compared(np.greater),
    "ge": _compared(np.greater_equal),
    "lt": _compared(np.less),
    "le": _compared(np.less_equal),
    "maximum": _extreme(np.greater_equal),
    "minimum": _extreme(np.less_equal),
}

OPERATIONS = frozenset({*_UNARY, *_CATALOGUE, *_SIGNS, *_CLAMPS, "gelu", "hardtanh", "where"})
"""Every operation that can be part of a pointwise chain."""

AFFINE = frozenset(["add", "sub", "rsub", "mul", "div"])
"""Those that with a number only scale or shift; a number over a tensor does not."""


_composed: dict[str, Activation] = {}
"""One Activation for each text: equal chains in different layers are the same activation."""


def activation_of(function: Pointwise) -> Activation:
    """The chain as an Activation: the catalogue's own where the two agree everywhere."""
    if function.known is not None:
        return function.known
    if function.text not in _composed:
        _composed[function.text] = _recognise(function.dual) or from_callable(
            lambda z: function.dual(z)[0], lambda z: function.dual(z)[1], name=function.text
        )
    return _composed[function.text]


@lru_cache(maxsize=1)
def _grid_values() -> tuple[Array, dict[str, Array]]:
    grid = np.linspace(-7.3, 7.1, 97)
    return grid, {name: find(name).function(grid) for name in catalogue()}


def _recognise(dual: Callable[[Array], Dual]) -> Activation | None:
    grid, values = _grid_values()
    with np.errstate(all="ignore"):
        ours = dual(grid)[0]
    for name, theirs in values.items():
        if np.allclose(ours, theirs, rtol=1e-6, atol=1e-6):
            return find(name)
    return None
