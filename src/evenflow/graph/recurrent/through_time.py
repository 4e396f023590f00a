"""Through time: the mean field of a recurrent layer.

In a wide layer of random weights every unit's pre-activations are a Gaussian process over moments
and examples, the same for all units. Its covariance follows from that of the layer's input and of
its own state: E[z_t z′_t′] = n v_w E[x_t x′_t′] + H v_u E[h_{t−1} h′_{t′−1}] + b.

Gates multiply, so what a unit makes of its process has no closed form: it is integrated by Monte
Carlo over units, moment by moment, each moment's covariance taken from the states before it.
Backwards the same is done with gradients, along the same units' courses, weights taken as
independent of those forwards. Two examples stand for all: E[x·x′] of the same example and of two
different ones is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evenflow.graph.moments import Array
from evenflow.graph.recurrent.cells import Cell, Saved, State

UNITS = 4096
"""Over how many units the integral is taken: root mean squares come out within about 0.5 %."""
_SINGULAR = 1e-10


@dataclass(frozen=True)
class Layer:
    """One layer in one direction."""

    cell: Cell
    units: int
    weight: float
    """Second moment of the hidden-to-hidden weight."""
    mean: float
    """Of the pre-activations from the input."""
    bias_mean: float
    bias_second: float
    """Of the hidden-to-hidden bias."""


@dataclass
class Course:
    """What the units went through."""

    states: list[State]
    """Before the first moment and after each; of shape (examples, units)."""
    saved: list[Saved] = field(default_factory=list)

    def hidden(self) -> Array:
        """(examples, moments + 1, units)"""
        return np.stack([state[0] for state in self.states], axis=1)


def run(layer: Layer, arriving: Array, initial: Array, seed: int = 0) -> Course:
    """Forwards: ``arriving`` is the covariance of pre-activations from the input, (same example or
    another, moment, moment); ``initial`` the second moments of the first states, (state, same or
    another)."""
    generator = np.random.default_rng(seed)
    moments = arriving.shape[-1]
    first = [_single(row, (UNITS,), generator) for row in initial]
    course = Course([tuple(first)])
    shape = (layer.cell.gates, UNITS)
    inputs = Processes(moments, shape, generator)
    hidden = Processes(moments, shape, generator)
    history = np.empty((2, moments, UNITS))
    spread = layer.bias_second - layer.bias_mean**2
    for t in range(moments):
        history[:, t] = course.states[-1][0]
        a = layer.mean + inputs.next(arriving[:, t, : t + 1])
        covariance = layer.units * layer.weight * latest(history[:, : t + 1]) + spread
        u = layer.bias_mean + hidden.next(covariance)
        state, saved = layer.cell.forward(_gates_first(a), _gates_first(u), course.states[-1])
        course.states.append(state)
        course.saved.append(saved)
    return course


@dataclass(frozen=True)
class Gradients:
    """Covariances of one layer's gradients, (same example or another, moment, moment), summed over
    gates; and second moments of those of its states, (state, same example or another)."""

    inputs: Array
    """Of the pre-activations from the input."""
    hidden: Array
    """Of those from the state before."""
    initial: Array
    """Of its first states."""
    states: Array
    """Of those after each moment, moments last: what arrived, and what the moment after sent."""


def run_back(
    layer: Layer, course: Course, arriving: Array, final: Array, seed: int = 0
) -> Gradients:
    """Backwards: ``arriving`` is the covariance of the outputs' gradients, ``final`` the second
    moments of those of the last states, (state, same example or another).

    Gradients are linear in what arrives, so what examples have in common is followed apart from
    what each has of its own: sums over a batch then have no chance correlations in them.
    """
    common = arriving[[1, 1]], final[:, [1, 1]]
    own = np.stack([arriving[0] - arriving[1], np.zeros_like(arriving[1])])
    own_final = np.stack([final[:, 0] - final[:, 1], np.zeros(len(final))], axis=1)
    found = _back(layer, course, own, own_final, np.random.default_rng([seed, 1]), alike=False)
    if not (common[0].any() or common[1].any()):
        return found
    shared = _back(layer, course, *common, np.random.default_rng([seed, 2]), alike=True)
    return Gradients(
        found.inputs + shared.inputs,
        found.hidden + shared.hidden,
        found.initial + shared.initial,
        found.states + shared.states,
    )


def _back(
    layer: Layer,
    course: Course,
    arriving: Array,
    final: Array,
    generator: np.random.Generator,
    *,
    alike: bool,
) -> Gradients:
    """Two examples have nothing in common unless they are ``alike``."""
    moments, gates = arriving.shape[-1], layer.cell.gates
    counted = np.array([1.0, float(alike)])
    inputs, hidden = np.empty((2, 2, moments, gates * UNITS))
    outer = Processes(moments, (UNITS,), generator)
    inner = Processes(moments, (UNITS,), generator)
    state: State = tuple(_single(row, (UNITS,), generator) for row in final)
    states = np.empty((len(state), 2, moments))
    backwards = arriving[:, ::-1, ::-1]

    def from_the_moment_after(step: int) -> Array:
        covariance = latest(hidden[:, moments - step :][:, ::-1]) * counted[:, None]
        return inner.next(layer.units * layer.weight * gates * covariance)

    for step in range(moments):
        t = moments - 1 - step
        h = state[0] + outer.next(backwards[:, step, : step + 1])
        if step:
            h = h + from_the_moment_after(step)
        state = (h, *state[1:])
        states[..., t] = [_alone(each) for each in state]
        a, u, state = layer.cell.backward(course.saved[t], state)
        inputs[:, t] = np.moveaxis(a, 0, 1).reshape(2, -1)
        hidden[:, t] = np.moveaxis(u, 0, 1).reshape(2, -1)
    first = (state[0] + from_the_moment_after(moments), *state[1:])
    return Gradients(
        gates * kernel(inputs) * counted[:, None, None],
        gates * kernel(hidden) * counted[:, None, None],
        np.stack([_alone(each) for each in first]) * counted,
        states * counted[:, None],
    )


def kernel(values: Array) -> Array:
    """E[x_t x′_t′] over units, (same example or another, moment, moment), of (examples, moments,
    units)."""
    flat = values.reshape(-1, values.shape[-1])
    return _two(flat @ flat.T / flat.shape[1], values.shape[1], values.shape[1])


def latest(values: Array) -> Array:
    """The last row of ``kernel``: of the last moment with every one."""
    flat = values.reshape(-1, values.shape[-1])
    return _two(flat @ values[:, -1].T / flat.shape[1], values.shape[1], 1)[..., 0]


def _alone(values: Array) -> Array:
    """E[x x′] of one moment's values, (same example or another)."""
    return latest(values[:, None])[:, 0]


def _two(products: Array, rows: int, columns: int) -> Array:
    """Means over the same example and over another."""
    each = products.reshape(2, rows, 2, columns)
    return np.stack([each[0, :, 0] + each[1, :, 1], each[0, :, 1] + each[1, :, 0]]) / 2


class Processes:
    """Gaussian processes, one for each element of ``shape``, drawn for two examples moment by
    moment, as their covariance with the moments before becomes known (Cholesky, row by row).

    Sum and difference of two examples are independent, with covariances same ± another.
    """

    def __init__(self, moments: int, shape: tuple[int, ...], generator: np.random.Generator):
        self.rows = np.zeros((2, moments, moments))
        self.white = np.empty((2, moments, *shape))
        self.generator = generator
        self.count = 0

    def next(self, covariance: Array) -> Array:
        """Values of the next moment, (examples, *shape); ``covariance`` is of the same and of
        another example, with each earlier moment and, last, with itself."""
        t = self.count
        self.count += 1
        both = np.stack([covariance[0] + covariance[1], covariance[0] - covariance[1]])
        row = self.rows[:, t]
        for s in range(t):
            rest = both[:, s] - np.einsum("ps,ps->p", row[:, :s], self.rows[:, s, :s])
            pivot = self.rows[:, s, s]
            row[:, s] = np.where(pivot > 0, rest / np.where(pivot > 0, pivot, 1.0), 0.0)
        left = both[:, t] - (row[:, :t] ** 2).sum(axis=1)
        row[:, t] = np.sqrt(np.where(left > _SINGULAR * both[:, t], left, 0.0))
        self.white[:, t] = self.generator.standard_normal(self.white[:, t].shape)
        total, difference = (
            np.tensordot(row[p, : t + 1], self.white[p, : t + 1], axes=(0, 0)) for p in (0, 1)
        )
        return np.asarray(np.stack([total + difference, total - difference]) / np.sqrt(2))


def _single(second: Array, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Values of one moment for two examples, of second moment (same example, another)."""
    return Processes(1, shape, generator).next(second[:, None])


def _gates_first(values: Array) -> Array:
    """(examples, gates, units) → (gates, examples, units)"""
    return np.moveaxis(values, 1, 0)
