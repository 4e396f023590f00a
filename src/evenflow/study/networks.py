"""The networks of the studies: multilayer perceptrons, described by plain values."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.planning.schemes import Site, scheme
from evenflow.sampling import sample
from evenflow.study.training.activations import ACTIVATIONS

COSTS = ("cross_entropy", "quadratic")


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A multilayer perceptron: one activation, biases zero, a softmax on top of it."""

    hidden: tuple[int, ...]
    """Units of each hidden layer, from the input upwards."""
    activation: str
    """One of ``training.activations.ACTIVATIONS``."""
    scheme: str
    """A scheme of ``evenflow.schemes()``: ``heuristic`` is the paper's standard initialisation
    U(±1/√n), ``glorot`` its normalized one."""
    cost: str = "cross_entropy"
    """``cross_entropy``: −log of the softmax at the label. ``quadratic``: half the squared distance
    of the outputs themselves, without a softmax, from the one-hot label."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"studies know no activation {self.activation!r}",
                remedy=f"choose one of {', '.join(ACTIVATIONS)}",
            )
        if self.cost not in COSTS:
            raise InputError(
                f"studies know no cost {self.cost!r}", remedy=f"choose one of {', '.join(COSTS)}"
            )
        if any(units < 1 for units in self.hidden):
            raise InputError(f"a layer needs at least one unit: {self.hidden}")

    def widths(self, inputs: int, classes: int) -> tuple[int, ...]:
        """Units of every layer, the input and the output included."""
        return (inputs, *self.hidden, classes)

    def weights(self, inputs: int, classes: int, seed: int) -> list[NDArray[np.float32]]:
        """Initial weight matrices (out, in), drawn under ``seed`` by evenflow's own sampling.

        Two uniform schemes give the same values up to their scale, so that networks of one seed
        are pairs.
        """
        draw = scheme(self.scheme)
        return [
            sample(
                draw(Site("linear", fan_in, fan_out, (fan_out, fan_in))),
                (fan_out, fan_in),
                seed=seed,
                name=f"layers.{number}.weight",
            )
            for number, (fan_in, fan_out) in enumerate(
                itertools.pairwise(self.widths(inputs, classes))
            )
        ]
