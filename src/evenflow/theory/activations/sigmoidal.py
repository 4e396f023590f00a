"""Activations that saturate smoothly: logistic, tanh, softsign, and what is made from them."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from evenflow.theory.activations.activation import Activation
from evenflow.theory.normal import Array


def logistic() -> Activation:
    """1/(1 + e⁻ᶻ)."""
    return Activation("logistic", logistic_curve, _logistic_slope)


def tanh() -> Activation:
    """tanh z."""
    return Activation("tanh", np.tanh, _tanh_slope)


def softsign() -> Activation:
    """z/(1 + |z|) (Bergstra et al. 2009)."""
    return Activation(
        "softsign",
        lambda z: z / (1 + np.abs(z)),
        lambda z: 1 / (1 + np.abs(z)) ** 2,
        kinks=(0.0,),
    )


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation:
    """log(1 + exp(beta·z))/beta, and exactly z where beta·z > threshold, as PyTorch has it."""
    if not beta > 0:
        raise ValueError("beta must be positive")
    return Activation(
        "softplus",
        lambda z: np.where(beta * z > threshold, z, _softplus_curve(beta * z) / beta),
        lambda z: np.where(beta * z > threshold, 1.0, logistic_curve(beta * z)),
        MappingProxyType({"beta": beta, "threshold": threshold}),
        kinks=(threshold / beta,),
    )


def logsigmoid() -> Activation:
    """log(1/(1 + e⁻ᶻ))."""
    return Activation("logsigmoid", lambda z: -_softplus_curve(-z), lambda z: logistic_curve(-z))


def tanhshrink() -> Activation:
    """z − tanh z."""
    return Activation("tanhshrink", _tanhshrink_curve, lambda z: np.tanh(z) ** 2)


def logistic_curve(z: Array) -> Array:
    """1/(1 + e⁻ᶻ), accurate in relative terms on both sides and without overflow."""
    small: Array = np.exp(-np.abs(z))
    above: Array = np.where(z >= 0, 1.0, small)
    return above / (1 + small)


def _softplus_curve(z: Array) -> Array:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _logistic_slope(z: Array) -> Array:
    small: Array = np.exp(-np.abs(z))
    return small / (1 + small) ** 2


def _tanh_slope(z: Array) -> Array:
    """4/(eᶻ + e⁻ᶻ)²; 1 − tanh² would lose every digit beyond |z| = 19."""
    small: Array = np.exp(-2 * np.abs(z))
    return 4 * small / (1 + small) ** 2


_SERIES = tuple(2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1))


def _tanhshrink_curve(z: Array) -> Array:
    """Near zero as (z cosh z − sinh z)/cosh z, whose numerator is Σ 2k/(2k + 1)!·z²ᵏ⁺¹."""
    result = np.array(z - np.tanh(z))
    near = np.abs(z) < 1
    x = z[near]
    result[near] = x**3 * np.polyval(_SERIES, x * x) / np.cosh(x)
    return result
