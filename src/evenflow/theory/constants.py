"""The classic constants of Glorot initialisation, and why one of their rows does not hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evenflow.theory.activations import Activation
from evenflow.theory.gain import as_activation, gain


@dataclass(frozen=True)
class ClassicConstant:
    """Weights for one activation, from its linearisation φ(z) ≈ φ(0) + φ′(0)z at z = 0."""

    activation: str
    energy: float
    """E_f = E_b = φ′(0)², for ReLU the mean of both sides: what each pass multiplies by."""

    @property
    def multiplier(self) -> float:
        """1/√energy: what the weights of a linear layer are multiplied by."""
        return 1 / math.sqrt(self.energy)

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Var W = 2/(n_in·E_f + n_out·E_b)."""
        return 2 / (self.energy * (fan_in + fan_out))

    def uniform_bound(self, fan_in: int, fan_out: int) -> float:
        """a of U[−a, a], whose variance is a²/3."""
        return math.sqrt(3 * self.variance(fan_in, fan_out))

    def normal_std(self, fan_in: int, fan_out: int) -> float:
        """σ of N(0, σ²)."""
        return math.sqrt(self.variance(fan_in, fan_out))

    @property
    def uniform_formula(self) -> str:
        """As tables print it, such as ``4√(6/(n_in+n_out))``."""
        return f"{_factor(self.energy)}√(6/(n_in+n_out))"

    @property
    def normal_formula(self) -> str:
        """As tables print it, such as ``4√(2/(n_in+n_out))``."""
        return f"{_factor(self.energy)}√(2/(n_in+n_out))"


@dataclass(frozen=True)
class LayerState:
    """What the calculus expects at one layer of a deep network of equal widths."""

    layer: int
    second: float
    """q of the pre-activations."""
    from_mean: float
    """The part of it that the mean of the activations before adds: n·Var W·E[φ]²."""
    data_variance: float
    """Variance of the pre-activations over the examples: q − s."""
    kept_forward: float
    """Data variance of the next layer over that of this one."""
    kept_backward: float
    """n·Var W·E[φ′²]: second moment of δ at this layer over that at the next one."""


def classic_constants() -> tuple[ClassicConstant, ...]:
    """The rows logistic, tanh and ReLU, from the gains in the limit q → 0 (Glorot 2010)."""
    return tuple(
        ClassicConstant(name, gain(name, q=0.0).backward) for name in ("logistic", "tanh", "relu")
    )


def through_depth(
    activation: Activation | str | Callable[[Any], Any], layers: int = 12
) -> tuple[LayerState, ...]:
    """The classic constant of an activation at work: layer by layer, means carried along.

    Starts from pre-activations of variance 1 that share nothing between examples. For the logistic
    function the mean ½ adds n·Var W/4 = 4 to every q, and data variance and gradients are left
    with 0.4 of themselves a layer: the linearisation at z = 0 that gave the constant does not
    hold where the network works.
    """
    curve = as_activation(activation)
    weight = ClassicConstant(curve.name, gain(curve, q=0.0).backward).variance(1, 1)  # n·Var W
    q, shared, from_mean = 1.0, 0.0, 0.0
    states = []
    for layer in range(1, layers + 1):
        at = gain(curve, q)
        next_q, next_shared = weight * at.second, weight * at.shared(shared)
        states.append(
            LayerState(
                layer=layer,
                second=q,
                from_mean=from_mean,
                data_variance=q - shared,
                kept_forward=(next_q - next_shared) / (q - shared),
                kept_backward=weight * at.backward,
            )
        )
        q, shared, from_mean = next_q, next_shared, weight * at.mean**2
    return tuple(states)


def _factor(energy: float) -> str:
    """1/√energy in print: nothing for 1, a whole number, or a root."""
    square = 1 / energy
    root = math.isqrt(round(square))
    if root * root == square:
        return "" if root == 1 else str(root)
    return f"√{square:.6g}·"
