"""Activations and their Gaussian expectations in mpmath, written without a look at evenflow's.

The benchmark of the theory's accuracy uses the same oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp

Real = mp.mpf
Curve = Callable[[Real], Real]


@dataclass(frozen=True)
class Oracle:
    function: Curve
    derivative: Curve
    kinks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Expected:
    mean: Real
    second: Real
    backward: Real
    cross: Real
    """E[φφ′(z − m)]"""


def expected(oracle: Oracle, q: float, mean: float) -> Expected:
    """The expectations over z ~ N(mean, q − mean²), to about 20 digits.

    Kinks more than 13 standard deviations away are out of reach: what lies beyond counts as zero.
    """
    f, g = oracle.function, oracle.derivative
    for digits in (25, 60):  # mpmath's goal is an absolute error: small values take more digits
        with mp.workdps(digits):
            m, v = mp.mpf(mean), mp.mpf(q) - mp.mpf(mean) ** 2
            results = [
                gaussian_integral(curve, m, v, oracle.kinks)
                for curve in (
                    f,
                    lambda z: f(z) ** 2,
                    lambda z: g(z) ** 2,
                    lambda z, m=m: f(z) * g(z) * (z - m),
                )
            ]
        if min(results[1:3]) > 1e-5:
            break
    return Expected(*results)


def gaussian_integral(curve: Curve, m: Real, v: Real, kinks: tuple[float, ...]) -> Real:
    """E[curve(z)], z ~ N(m, v): Gauss–Legendre of rising degree between well-chosen points."""
    scale = mp.sqrt(v)
    reach = 20 * scale
    points = {m + k * scale for k in (-20, -13, -9, -6, -4, -2, 0, 2, 4, 6, 9, 13, 20)}
    points |= {mp.mpf(k) for k in kinks if abs(k - m) < reach}
    if scale > 1:
        points |= {
            mp.mpf(k) for k in (-20, -8, -4, -2, -1, 0, 1, 2, 4, 8, 20) if abs(k - m) < reach
        }
    return mp.quad(
        lambda z: curve(z) * mp.exp(-((z - m) ** 2) / (2 * v)),
        sorted(points),
        method="gauss-legendre",
    ) / mp.sqrt(2 * mp.pi * v)


def _logistic(z: Real) -> Real:
    return 1 / (1 + mp.exp(-z))


def _gate(u: Curve, du: Curve) -> Oracle:
    """z·logistic(u(z))"""
    return Oracle(
        lambda z: z * _logistic(u(z)),
        lambda z: _logistic(u(z)) + z * du(z) * _logistic(u(z)) * _logistic(-u(z)),
    )


def _pieces(*cuts: float) -> Callable[..., Oracle]:
    """An Oracle of as many functions and derivatives as there are pieces."""

    def choose(curves: tuple[Curve, ...]) -> Curve:
        return lambda z: curves[sum(z > cut for cut in cuts)](z)

    return lambda functions, slopes: Oracle(choose(functions), choose(slopes), cuts)


def _zero(z: Real) -> Real:
    return 0 * z


def _one(z: Real) -> Real:
    return 1 + 0 * z


def _identity(z: Real) -> Real:
    return z


def _times(a: float) -> Curve:
    return lambda z: a * z


def _constant(a: float) -> Curve:
    return lambda z: a + 0 * z


def _exponential(slope: float, height: float, rate: float) -> Oracle:
    return _pieces(0.0)(
        (lambda z: height * (mp.exp(rate * z) - 1), _times(slope)),
        (lambda z: height * rate * mp.exp(rate * z), _constant(slope)),
    )


def _leaky(a: float) -> Oracle:
    return _pieces(0.0)((_times(a), _identity), (_constant(a), _one))


def _clip(low: float, high: float) -> Oracle:
    return _pieces(low, high)((_constant(low), _identity, _constant(high)), (_zero, _one, _zero))


def _tanh_gelu_argument(z: Real) -> Real:
    return 2 * mp.sqrt(2 / mp.pi) * (z + mp.mpf(0.044715) * z**3)


def _mish_slope(z: Real) -> Real:
    t = mp.tanh(mp.log(1 + mp.exp(z)))
    return t + z * (1 - t * t) * _logistic(z)


def _softplus(beta: float, threshold: float = 20.0) -> Oracle:
    return _pieces(threshold / beta)(
        (lambda z: mp.log(1 + mp.exp(beta * z)) / beta, _identity),
        (lambda z: _logistic(beta * z), _one),
    )


ORACLES: dict[str, Oracle] = {
    "linear": Oracle(_identity, _one),
    "logistic": Oracle(_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "tanh": Oracle(mp.tanh, lambda z: mp.sech(z) ** 2),
    "softsign": Oracle(lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2, (0.0,)),
    "relu": _leaky(0.0),
    "leaky_relu": _leaky(0.01),
    "prelu": _leaky(0.25),
    "relu6": _clip(0.0, 6.0),
    "elu": _exponential(1.0, 1.0, 1.0),
    "selu": _exponential(1.0507009873554804934, 1.0507009873554804934 * 1.6732632423543772848, 1.0),
    "celu": _exponential(1.0, 1.0, 1.0),
    "gelu": Oracle(lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * mp.npdf(z)),
    "gelu_tanh": _gate(
        _tanh_gelu_argument,
        lambda z: 2 * mp.sqrt(2 / mp.pi) * (1 + 3 * mp.mpf(0.044715) * z**2),
    ),
    "quick_gelu": _gate(_times(1.702), _constant(1.702)),
    "silu": _gate(_identity, _one),
    "mish": Oracle(lambda z: z * mp.tanh(mp.log(1 + mp.exp(z))), _mish_slope),
    "softplus": _softplus(1.0),
    "hardtanh": _clip(-1.0, 1.0),
    "hardsigmoid": _pieces(-3.0, 3.0)(
        (_zero, lambda z: z / 6 + mp.mpf(1) / 2, _one), (_zero, _constant(mp.mpf(1) / 6), _zero)
    ),
    "hardswish": _pieces(-3.0, 3.0)(
        (_zero, lambda z: z * (z + 3) / 6, _identity), (_zero, lambda z: (2 * z + 3) / 6, _one)
    ),
    "logsigmoid": Oracle(lambda z: -mp.log(1 + mp.exp(-z)), lambda z: _logistic(-z)),
    "tanhshrink": Oracle(lambda z: z - mp.tanh(z), lambda z: mp.tanh(z) ** 2),
    "softshrink": _pieces(-0.5, 0.5)(
        (lambda z: z + 0.5, _zero, lambda z: z - 0.5), (_one, _zero, _one)
    ),
    "hardshrink": _pieces(-0.5, 0.5)((_identity, _zero, _identity), (_one, _zero, _one)),
    "squared_relu": _pieces(0.0)((_zero, lambda z: z * z), (_zero, lambda z: 2 * z)),
    "sin": Oracle(mp.sin, mp.cos),
    "gaussian": Oracle(lambda z: mp.exp(-z * z), lambda z: -2 * z * mp.exp(-z * z)),
}

PARAMETRISED: tuple[tuple[str, dict[str, float], Oracle], ...] = (
    ("leaky_relu", {"negative_slope": 0.2}, _leaky(0.2)),
    ("elu", {"alpha": 2.5}, _exponential(1.0, 2.5, 1.0)),
    ("celu", {"alpha": 0.5}, _exponential(1.0, 0.5, 2.0)),
    ("softplus", {"beta": 4.0, "threshold": 10.0}, _softplus(4.0, 10.0)),
    ("hardtanh", {"min_val": -0.5, "max_val": 2.0}, _clip(-0.5, 2.0)),
    (
        "softshrink",
        {"lambd": 1.5},
        _pieces(-1.5, 1.5)((lambda z: z + 1.5, _zero, lambda z: z - 1.5), (_one, _zero, _one)),
    ),
    (
        "hardshrink",
        {"lambd": 1.5},
        _pieces(-1.5, 1.5)((_identity, _zero, _identity), (_one, _zero, _one)),
    ),
)
