"""Recurrent layers: LSTM, GRU and plain ones, stacked and in both directions, through time.

Each layer in each direction is integrated as ``recurrent.through_time`` says; what passes between
them is the covariance of every two moments. Weights of a mean that matters, projections and packed
sequences are not covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Ref
from evenflow.graph.moments import Array, Moments
from evenflow.graph.recurrent.cells import CELLS
from evenflow.graph.recurrent.sequences import lags_of, of_lags, sequence
from evenflow.graph.recurrent.through_time import Course, Gradients, Layer, kernel, run, run_back
from evenflow.graph.remembered import Remembered
from evenflow.graph.rules.registry import Arriving, Cotangents, Result, Step, register

SINGLE = {"lstm_cell": "lstm", "gru_cell": "gru", "rnn_tanh_cell": "rnn_tanh"} | {
    "rnn_relu_cell": "rnn_relu"
}
"""Operations that do one moment of one layer."""
OF_CELL = ("w_ih", "w_hh", "b_ih", "b_hh")
LONGEST = 64
"""Moments that are run through; what comes later is like the later half of these."""
_COUNTS = 0.05
"""Share of a pre-activation's second moment that the mean of weights may have."""


@dataclass(frozen=True)
class _Part:
    """One layer in one direction, with what goes in."""

    layer: Layer
    names: tuple[str, ...]
    """Of its parameters: input weight, hidden weight and, if it has any, their biases."""
    inputs: int
    weight: float
    """Second moment of the input-to-hidden weight."""
    reverse: bool
    source: Array
    """Covariance of its inputs, in the order in which they are read."""
    course: Course


class Stack:
    """All layers run forwards; ``source`` is the input's covariance of every two moments, where
    more is known than its Moments tell."""

    def __init__(self, step: Step, source: Array | None = None) -> None:
        if not step.has("input"):
            raise NoRuleError(f"no rule for {step.node.op!r} on packed sequences")
        self.step = step
        self.cell = CELLS[SINGLE.get(step.node.op, step.node.op)]
        x = step.of("input")
        self.batch_axis, self.time_axis = _axes(step)
        self.length = 1 if self.time_axis is None else x.shape[self.time_axis]
        self.batch = 1 if self.batch_axis is None else x.shape[self.batch_axis]
        self.steps = min(self.length, LONGEST)
        self.directions = 2 if step.number("bidirectional") else 1
        self.levels: list[list[_Part]] = []
        if source is None:
            source = sequence(lags_of(x, self.batch_axis, self.time_axis), self.steps)
        mean, width = x.mean, x.shape[-1]
        for level in range(int(step.number("num_layers", 1))):
            parts = [self._part(level, d, source, mean, width) for d in range(self.directions)]
            self.levels.append(parts)
            source = _mean([self.outputs(part) for part in parts])
            source = _dropped(source, step) if level + 1 < step.number("num_layers", 1) else source
            mean, width = 0.0, self.directions * parts[0].layer.units
        self.source = source

    def _part(self, level: int, direction: int, source: Array, mean: float, width: int) -> _Part:
        step, reverse = self.step, direction == 1
        place = level * self.directions + direction
        names = _parameters(step, place)
        weights = [step.of_value(name) for name in names]
        units = weights[1].shape[-1]
        _require_level(weights[0], width, mean)
        biases = weights[2:] or [Moments.constant(0.0)] * 2
        read = source[:, ::-1, ::-1] if reverse else source
        layer = Layer(
            self.cell, units, weights[1].second, biases[0].mean, biases[1].mean, biases[1].second
        )
        arriving = width * weights[0].second * read + biases[0].variance
        initial = np.stack([of_layer(step.of_value(n)) for n in states_of(step)])
        course = run(layer, arriving, initial)
        return _Part(layer, names, width, weights[0].second, reverse, read, course)

    @property
    def output(self) -> Array:
        """Covariance of the last layer's outputs, of all directions."""
        return _mean([self.outputs(part) for part in self.levels[-1]])

    def last(self, place: int) -> Array:
        """Second moments of a last state, one for each layer and direction."""
        courses = [part.course for level in self.levels for part in level]
        return np.array([np.mean(course.states[-1][place] ** 2) for course in courses])

    def outputs(self, part: _Part) -> Array:
        """Covariance of a part's outputs, in the order of time."""
        found = kernel(part.course.hidden()[:, 1:])
        return found[:, ::-1, ::-1] if part.reverse else found

    def means(self, part: _Part) -> Array:
        """Mean of a part's outputs at each moment."""
        found = np.asarray(part.course.hidden()[:, 1:].mean(axis=(0, 2)))
        return found[::-1] if part.reverse else found


def _axes(step: Step) -> tuple[int | None, int | None]:
    """Axes of examples and of time; a cell has one moment and no axis for it."""
    rank = len(step.shape("input"))
    if step.node.op in SINGLE:
        return (0 if rank == 2 else None), None
    if rank == 2:
        return None, 0
    return (0, 1) if step.number("batch_first") else (1, 0)


def _parameters(step: Step, place: int) -> tuple[str, ...]:
    if step.node.op in SINGLE:
        return tuple(step.name(each) for each in OF_CELL if step.has(each))
    names = step.names("params")
    each = 4 if step.number("has_biases") else 2
    parts = int(step.number("num_layers", 1)) * (2 if step.number("bidirectional") else 1)
    if len(names) != each * parts:
        raise NoRuleError(f"no rule for {step.node.op!r} with a projection")
    return tuple(names[place * each : (place + 1) * each])


def states_of(step: Step) -> list[str]:
    """Names of the first states."""
    given = step.node.arguments.get("hx")
    return [given.name] if isinstance(given, Ref) else step.names("hx")


def of_layer(state: Moments) -> Array:
    """Second moment of one layer's state, and what two examples share."""
    return lags_of(state, len(state.axes) - 2 if len(state.axes) > 1 else None, None)[:, 0]


def _require_level(weight: Moments, width: int, mean: float) -> None:
    if width * weight.mean**2 > _COUNTS * weight.second and mean:
        raise NoRuleError("a recurrent layer whose weights have a mean that matters")


def _dropped(source: Array, step: Step) -> Array:
    """Dropout between layers: masks of mean 1, another for each element."""
    dropped = step.number("dropout") if step.number("train") else 0.0
    if dropped >= 1:
        raise NoRuleError(f"{step.node.op!r} that drops everything")
    found = source.copy()
    places = np.arange(source.shape[-1])
    found[0, places, places] /= 1 - dropped
    return found


_KEPT = 16
_known: Remembered[Stack] = Remembered(_KEPT)
"""Stacks run lately, which the pass backwards needs again."""


def stack_of(step: Step) -> Stack:
    """All layers, run forwards for what their operands' Moments are."""
    read = [step.known[name] for _, name in step.node.refs() if name in step.known]
    return _known.of((step.node, *read), lambda: Stack(step))


def _forward(step: Step) -> Result:
    stack = stack_of(step)
    top = stack.levels[-1]
    if step.node.op in SINGLE:
        shapes = step.node.shapes or (step.node.shape,)
        after = zip(top[0].course.states[-1], shapes, strict=True)
        states = [of_states([state], shape, stack.batch_axis) for state, shape in after]
        return tuple(states) if len(states) > 1 else states[0]
    shape = step.node.shapes[0]
    means = [stack.means(part) for part in top]
    output = of_lags(stack.output, means, shape, stack.batch_axis, stack.time_axis)
    last = [part.course.states[-1] for level in stack.levels for part in level]
    states = [
        of_states([each[place] for each in last], shape, None if stack.batch_axis is None else 1)
        for place, shape in enumerate(step.node.shapes[1:])
    ]
    return (output, *states)


def of_states(states: Sequence[Array], shape: tuple[int, ...], batch: int | None) -> Moments:
    """Moments of one moment's states, of all layers and directions, in a tensor of this shape."""
    values = [state[:, None] for state in states]
    second = _mean([kernel(value) for value in values])
    return of_lags(second, [value.mean(axis=(0, 2)) for value in values], shape, batch, None)


def _backward(step: Step, cotangent: Arriving) -> Cotangents:
    stack = stack_of(step)
    arriving = np.zeros((2, stack.steps, stack.steps))
    several = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    if step.node.op in SINGLE:
        several = (None, *several)
    if several[0] is not None:
        lags = lags_of(several[0], stack.batch_axis, stack.time_axis)
        arriving = sequence(lags, stack.steps)
    parts = sum(len(level) for level in stack.levels)
    final = [np.zeros(2) if c is None else of_layer(c) for c in several[1:]]
    return sent_back(stack, arriving, np.stack([np.stack(final)] * parts))[0]


def sent_back(stack: Stack, arriving: Array, final: Array) -> tuple[Cotangents, Array]:
    """All layers run backwards: ``arriving`` is the covariance of the outputs' gradients, ``final``
    the second moments of those of last states, (layer and direction, state, same example or
    another). With them the covariance of the input's gradient."""
    step = stack.step
    found: dict[str, Moments] = {}
    started: list[Gradients] = []
    place = len(final)
    for level in reversed(range(len(stack.levels))):
        sent = np.zeros_like(arriving)
        place -= stack.directions
        for direction, part in enumerate(stack.levels[level]):
            read = arriving[:, ::-1, ::-1] if part.reverse else arriving
            back = run_back(part.layer, part.course, read, final[place + direction])
            found |= weights_back(step, stack, part, back)
            own = back.inputs * part.layer.units * part.weight
            sent = sent + (own[:, ::-1, ::-1] if part.reverse else own)
            started.append(back)
        arriving = _dropped(sent, step) if level else sent
    none = [np.zeros(stack.steps)]
    found[step.name("input")] = of_lags(
        arriving, none, step.shape("input"), stack.batch_axis, stack.time_axis
    )
    for place, name in enumerate(states_of(step)):
        state = of_gradient(
            _mean([back.initial[place] for back in started]), step.graph.shape(name)
        )
        found[name] = found[name].plus(state) if name in found else state
    return found, arriving


def of_gradient(second: Array, shape: tuple[int, ...]) -> Moments:
    """Moments of the gradient of one moment's value, of E[δ·δ′] (same example or another)."""
    batch = len(shape) - 2 if len(shape) > 1 else None
    return of_lags(second[:, None, None], [np.zeros(1)], shape, batch, None)


def _mean(parts: Sequence[Array]) -> Array:
    return np.asarray(np.mean(parts, axis=0))


def weights_back(step: Step, stack: Stack, part: _Part, back: Gradients) -> Cotangents:
    """Of a part's parameters: sums over examples and moments, divided among the gates."""
    gates = part.layer.cell.gates
    before = kernel(part.course.hidden()[:, :-1])
    by_input, by_hidden = back.inputs / gates, back.hidden / gates
    everywhere = np.ones_like(by_input)
    sources = [(by_input, part.source), (by_hidden, before)]
    sources += [(by_input, everywhere), (by_hidden, everywhere)]
    longer = stack.length / stack.steps
    found: dict[str, Moments] = {}
    for name, (arrived, read) in zip(part.names, sources, strict=False):
        same, other = (arrived * read).sum(axis=(1, 2))
        second = longer * stack.batch * (same + (stack.batch - 1) * other)
        found[name] = Moments.independent(0.0, max(float(second), 0.0), step.graph.shape(name))
    return found


register(*CELLS, *SINGLE, forward=_forward, backward=_backward)
