"""Recurrent cells unit by unit: what one unit does in one moment, forwards and backwards.

``a`` and ``u`` are a unit's pre-activations from the input and from the hidden state, one for each
gate, in torch's order; ``state`` is (h,) or (h, c). The formulas are those of torch's manual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evenflow.graph.moments import Array

State = tuple[Array, ...]
Saved = tuple[Array, ...]


@dataclass(frozen=True)
class Cell:
    """``forward(a, u, state)`` → next state, and what ``backward`` needs of it.

    ``backward(saved, δstate)`` → gradients of a, of u, and of the state before other than by u.
    """

    gates: int
    states: int
    forward: Callable[[Array, Array, State], tuple[State, Saved]]
    backward: Callable[[Saved, State], tuple[Array, Array, State]]


def _logistic(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _lstm(a: Array, u: Array, state: State) -> tuple[State, Saved]:
    z = a + u
    i, f, o = _logistic(z[0]), _logistic(z[1]), _logistic(z[3])
    g = np.tanh(z[2])
    c = f * state[1] + i * g
    squashed = np.tanh(c)
    return (o * squashed, c), (i, f, g, o, squashed, state[1])


def _lstm_back(saved: Saved, arriving: State) -> tuple[Array, Array, State]:
    i, f, g, o, squashed, before = saved
    c = arriving[1] + arriving[0] * o * (1 - squashed**2)
    gates = np.stack(
        [
            c * g * i * (1 - i),
            c * before * f * (1 - f),
            c * i * (1 - g**2),
            arriving[0] * squashed * o * (1 - o),
        ]
    )
    return gates, gates, (np.zeros_like(c), c * f)


def _gru(a: Array, u: Array, state: State) -> tuple[State, Saved]:
    r, z = _logistic(a[0] + u[0]), _logistic(a[1] + u[1])
    n = np.tanh(a[2] + r * u[2])
    return ((1 - z) * n + z * state[0],), (r, z, n, u[2], state[0])


def _gru_back(saved: Saved, arriving: State) -> tuple[Array, Array, State]:
    r, z, n, hidden, before = saved
    new = arriving[0] * (1 - z) * (1 - n**2)
    update = arriving[0] * (before - n) * z * (1 - z)
    reset = new * hidden * r * (1 - r)
    return np.stack([reset, update, new]), np.stack([reset, update, new * r]), (arriving[0] * z,)


def _plain(curve: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Cell:
    def forward(a: Array, u: Array, _state: State) -> tuple[State, Saved]:
        h = curve(a[0] + u[0])
        return (h,), (slope(h),)

    def backward(saved: Saved, arriving: State) -> tuple[Array, Array, State]:
        z = (arriving[0] * saved[0])[None]
        return z, z, (np.zeros_like(arriving[0]),)

    return Cell(1, 1, forward, backward)


CELLS = {
    "lstm": Cell(4, 2, _lstm, _lstm_back),
    "gru": Cell(3, 1, _gru, _gru_back),
    "rnn_tanh": _plain(np.tanh, lambda h: 1 - h**2),
    "rnn_relu": _plain(lambda z: np.maximum(z, 0.0), lambda h: (h > 0).astype(float)),
}
"""By the operation that runs them."""
