"""Cells in a loop of Python: all moments at once, as the recurrent layer that they are together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from evenflow.graph.graph import Argument, Graph, Node, Ref
from evenflow.graph.moments import Array, Moments
from evenflow.graph.recurrent.chains import Alike, Chain, chains, covariance
from evenflow.graph.recurrent.sequences import of_lags
from evenflow.graph.recurrent.through_time import run_back
from evenflow.graph.remembered import Remembered
from evenflow.graph.rules.recurrent import (
    LONGEST,
    OF_CELL,
    SINGLE,
    Stack,
    of_gradient,
    of_layer,
    of_states,
    states_of,
    weights_back,
)
from evenflow.graph.rules.registry import Arriving, Cotangents, Result, Step

_KEPT = 4
_known: Remembered[Stack] = Remembered(_KEPT)
"""Chains run lately, which the pass backwards needs again."""
_INPUT = " inputs"
"""Name of all inputs together, which no value of a graph has."""


def chains_of(graph: Graph) -> Iterator[Chain]:
    """The chains of a graph, in pieces as long as a layer's course is followed."""
    return chains(graph, SINGLE, LONGEST)


def forward(chain: Chain, step: Step, alike: Alike) -> list[Result]:
    """Results of every cell, of which ``alike`` learns; ``step`` is the first of them."""
    stack = _stack(chain, step, alike)
    part = stack.levels[0][0]
    alike.add(chain.outputs(step.graph), stack.outputs(part))
    batch = 0 if stack.batch_axis is not None else None
    found: list[Result] = []
    for cell, states in zip(chain.cells, part.course.states[1:], strict=True):
        each = tuple(of_states([state], cell.shape, batch) for state in states)
        found.append(each if cell.shapes else each[0])
    return found


def backward(
    chain: Chain,
    step: Step,
    arriving: Sequence[Arriving | None],
    alike: Alike,
    gradients: Alike,
) -> tuple[list[tuple[Moments, ...]], Cotangents]:
    """From the gradients that arrive at the cells' results from elsewhere: those of every cell's
    results, with what the next cell sends; and those of what the cells read, of which ``gradients``
    learns."""
    stack = _stack(chain, step, alike)
    part = stack.levels[0][0]
    outputs, final = _arriving(arriving, stack.cell.states)
    outputs += _between(chain.outputs(step.graph), gradients)
    back = run_back(part.layer, part.course, outputs, final)
    found = dict(weights_back(stack.step, stack, part, back))

    def add(name: str, second: Array) -> None:
        own = of_gradient(second, step.graph.shape(name))
        found[name] = found[name].plus(own) if name in found else own

    sent = back.inputs * part.layer.units * part.weight
    gradients.add([[name] for name in chain.inputs], sent)
    for t, name in enumerate(chain.inputs):
        add(name, sent[:, t, t])
    for name, second in zip(states_of(stack.step), back.initial, strict=True):
        add(name, second)
    own = [
        tuple(of_gradient(state[:, t], cell.shape) for state in back.states)
        for t, cell in enumerate(chain.cells)
    ]
    return own, found


def _stack(chain: Chain, step: Step, alike: Alike) -> Stack:
    read = [step.of_value(name) for name in chain.needs()]
    return _known.of((chain, *read), lambda: _run(chain, step, alike))


def _run(chain: Chain, step: Step, alike: Alike) -> Stack:
    """The layer that these cells are, time first."""
    inputs = chain.inputs
    source = covariance(step.graph, step.known, inputs, alike)
    shape = (len(inputs), *step.graph.shape(inputs[0]))
    means = [np.array([step.of_value(name).mean for name in inputs])]
    x = of_lags(source, means, shape, 1 if len(shape) > 2 else None, 0)
    weights = tuple(Ref(step.name(each)) for each in OF_CELL if step.has(each))
    arguments: dict[str, Argument] = {
        "input": Ref(_INPUT),
        "hx": chain.cells[0].arguments["hx"],
        "params": weights,
        "has_biases": len(weights) == len(OF_CELL),
    }
    first = chain.cells[0]
    layer = Node(first.name, SINGLE[first.op], arguments, (len(inputs), *first.shape))
    graph = replace(step.graph, inputs={**step.graph.inputs, _INPUT: shape})
    return Stack(Step(graph, layer, {**step.known, _INPUT: x}, step.several), source)


def _arriving(arriving: Sequence[Arriving | None], states: int) -> tuple[Array, Array]:
    """Covariance of what arrives at the outputs, and second moments of what does at the last
    states, as if what arrives at different moments were independent."""
    outputs = np.zeros((2, len(arriving), len(arriving)))
    final = np.zeros((states, 2))
    for t, each in enumerate(arriving):
        several = each if isinstance(each, tuple) else (each,)
        if several[0] is not None:
            outputs[:, t, t] = of_layer(several[0])
        for place, state in enumerate(several[1:], 1):
            if state is not None:
                final[place] = of_layer(state)  # only the last cell's is read by others
    return outputs, final


def _between(names: Sequence[Sequence[str]], gradients: Alike) -> Array:
    """What is known to be alike of the gradients that arrive at different moments."""
    found = np.zeros((2, len(names), len(names)))
    for t, each in enumerate(names):
        for s, other in enumerate(names[:t]):
            for pair in product(each, other):
                known = gradients.of(*pair)
                if known is not None:
                    found[:, t, s] += known
                    found[:, s, t] += known
    return found
