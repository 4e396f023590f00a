"""z times a gate that opens from 0 to 1: GELU, SiLU, Mish and their approximations."""

from __future__ import annotations

import math

import numpy as np

from evenflow.theory.activations.activation import NOTHING, Activation, Curve, Expectations
from evenflow.theory.activations.sigmoidal import logistic_curve
from evenflow.theory.normal import Array, density, distribution


def gelu() -> Activation:
    """z·P(x ≤ z) for x standard normal (Hendrycks and Gimpel 2016)."""
    curve = _GaussianGate()
    return Activation("gelu", curve.function, curve.derivative, closed=curve)


def gelu_tanh() -> Activation:
    """The approximation ½z(1 + tanh(√(2/π)(z + 0.044715z³))) of GELU."""
    root, cubic = math.sqrt(8 / math.pi), 0.044715  # ½(1 + tanh u) is the logistic of 2u
    return _logistic_gate(
        "gelu_tanh",
        lambda z: root * z * (1 + cubic * z * z),
        lambda z: root * (1 + 3 * cubic * z * z),
    )


def silu() -> Activation:
    """z/(1 + e⁻ᶻ), also called swish (Elfwing et al. 2017)."""
    return _logistic_gate("silu", lambda z: z, np.ones_like)


def quick_gelu() -> Activation:
    """z·logistic(1.702z), the approximation of GELU in CLIP."""
    return _logistic_gate("quick_gelu", lambda z: 1.702 * z, lambda z: np.full_like(z, 1.702))


def mish() -> Activation:
    """z·tanh(log(1 + eᶻ)) (Misra 2019)."""
    return Activation("mish", lambda z: z * _mish_gate(z), _mish_slope)


def _logistic_gate(name: str, argument: Curve, argument_slope: Curve) -> Activation:
    """z·logistic(u(z)), with slope σ(u)·(1 + z·u′·(1 − σ(u)))."""

    def slope(z: Array) -> Array:
        gate = logistic_curve(argument(z))
        return gate * (1 + z * argument_slope(z) * (1 - gate))

    return Activation(name, lambda z: z * logistic_curve(argument(z)), slope)


def _mish_gate(z: Array) -> Array:
    """tanh(log(1 + e)) = e(e + 2)/(e(e + 2) + 2) with e = eᶻ; it is 1 from z = 19 on."""
    e: Array = np.exp(np.minimum(z, 40.0))
    return e * (e + 2) / (e * (e + 2) + 2)


def _mish_slope(z: Array) -> Array:
    """gate + z·gate′; gate′ = 4e(e + 1)/(e(e + 2) + 2)²."""
    e: Array = np.exp(np.minimum(z, 40.0))
    opened = e * (e + 2)
    return opened / (opened + 2) + z * 4 * e * (e + 1) / (opened + 2) ** 2


class _GaussianGate:
    """GELU zΦ(z) and its expectations, by Stein's lemma E[(z − m)f] = vE[f′].

    Multiplying N(m, v) by the density of the gate gives the Gaussian N(μ, w), μ = m/(1 + v),
    w = v/(1 + v), of mass n; E[Φ²] is Owen's T.
    """

    def function(self, z: Array) -> Array:
        """zΦ(z)."""
        return z * distribution(z)

    def derivative(self, z: Array) -> Array:
        """Φ(z) + z·density(z)."""
        return distribution(z) + z * density(z)

    def average(self, mean: Array, variance: float) -> Array:
        root = math.sqrt(1 + variance)
        return mean * distribution(mean / root) + variance / root * density(mean / root)

    def average_slope(self, mean: Array, variance: float) -> Array:
        """d/dm of the average."""
        root = math.sqrt(1 + variance)
        t = mean / root
        return distribution(t) + t / (1 + variance) * density(t)

    def expectations(self, mean: float, variance: float) -> Expectations:
        m, v = mean, variance
        root, wide = math.sqrt(1 + v), 1 + 2 * v
        gate = self._gate_squared(m / root, 1 / math.sqrt(wide))
        mass = density(m / root) / root
        g0, g1, g3 = self._tilted(m / (1 + v), v / (1 + v))
        bell = density(m * math.sqrt(2 / wide)) / math.sqrt(2 * math.pi * wide)  # E[density²]
        average = m * distribution(m / root) + v * mass
        second = m * (m * gate + 2 * v * mass * g0) + v * (gate + 2 * mass * g1)
        backward = gate + 2 * mass * g1 + bell * ((m / wide) ** 2 + v / wide)
        growth = backward + mass * (2 * g1 - g3)
        second, backward = max(second, 0.0), max(backward, 0.0)  # where next to nothing is left
        opened = distribution(m / root)  # what the subtraction in E[Φ²] starts from
        terms = (m * m + v) * opened + 2 * v * mass * (abs(m) * g0 + abs(g1))
        slopes = opened + 2 * mass * abs(g1)
        lost = max(terms / max(second, NOTHING), slopes / max(backward, NOTHING))
        error = 16 * np.finfo(float).eps * lost
        return Expectations(
            float(average), float(second), float(backward), float(growth), float(error)
        )

    def _gate_squared(self, a: float, ratio: float) -> float:
        """E[Φ(z)²] = P(two variables of correlation v/(1 + v) both lie below a)."""
        from scipy.special import owens_t  # slow to import

        return float(distribution(a) - 2 * owens_t(a, ratio))

    def _tilted(self, mu: float, w: float) -> tuple[float, float, float]:
        """E[zᵏΦ(z)], z ~ N(μ, w), for k = 0, 1, 3."""
        root = math.sqrt(1 + w)
        bell = float(density(mu / root)) / root
        centre = mu / (1 + w)
        g0 = float(distribution(mu / root))
        g1 = mu * g0 + w * bell
        g2 = mu * g1 + w * (g0 + centre * bell)
        g3 = mu * g2 + w * (2 * g1 + (centre**2 + w / (1 + w)) * bell)
        return g0, g1, g3
