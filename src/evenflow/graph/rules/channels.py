"""Channels that sum few weights differ in size, and a norm divides each by its own.

What it sends back goes by the mean of 1/σ² over the weights of a channel (``algebra.few_weights``),
of the matrix that tells how alike what every two of them read is.

A convolution that reads an input of the network sums what stays as it is in every draw: then that
matrix counts however many weights there are, and tells all but how channels meet by chance.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.few_weights import mean_inverse
from evenflow.graph.algebra.layout import as_one_atom, averaged
from evenflow.graph.algebra.spectrum import inverse_of, modes
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.registry import Step

_MOST = 64
"""Weights a channel above which channels are taken to be of one size, or sums of them as normal."""
_MOST_OF_INPUTS = 1024
"""The same where an input is read: beyond, the matrix of all of them is too large."""
_NORMS = ("batch_norm", "instance_norm")
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")

Distances = npt.NDArray[np.int_]


def unlike_sizes(step: Step) -> float:
    """What channels of unlike size make of E[1/σ²], of a norm that reads a convolution."""
    source = step.graph.node(step.name("input"))
    if source is None:
        return 1.0
    conv = replace(step, node=source)
    read = _read(conv, step)
    if read is None:
        return 1.0
    if len(read) <= _MOST:
        return mean_inverse(read, conv.of("weight").kurtosis, _share(step))
    shares = np.maximum(np.linalg.eigvalsh(read), 0.0)
    trace = max(float(shares.sum()), 1e-300)
    return inverse_of(shares / trace, np.ones(len(read)), _share(step)) * (1 + _share(step))


def scatter_beside(step: Step) -> float:
    """The share of how σ² scatters by places (``algebra.spectrum``) that adds to that by weights.

    σ² = wᵀCw goes by tr C², C_ij the means of what two weights read over examples and places. Of an
    input they are the numbers that they are, and the matrix of E[C_ij] has them all for i and j of
    one channel. Those of channels c ≠ c′ differ by Var C_cc′ = tr K² − tr U², K being the matrix of
    E[x·x′] over all examples and places, U that of what channels have in common.
    """
    source = step.graph.node(step.name("input"))
    if source is None or step.node.op != "batch_norm":
        return 1.0
    conv = replace(step, node=source)
    if not (_weighs_few(conv) and _of_input(conv) and _of_batch(step)):
        return 1.0
    x = conv.of("input")
    for axis in range(len(x.axes)):
        x = as_one_atom(x, axis)
    common = averaged(x, [0, *range(2, len(x.axes))], keep=True)
    apart = x.pairs - common.pairs.reshape(1, -1, *(1,) * (len(x.axes) - 2))
    sizes = [x.shape[0], *x.shape[2:]]
    squares = []
    for unit in (0, -1):
        values, often = modes(apart[:, unit], sizes)
        squares.append(float(np.sum(often * values**2)))
    met = max(1 - squares[1] / max(squares[0], 1e-300), 0.0)
    return (1 - 1 / conv.shape("weight")[1]) * met


def _read(conv: Step, norm: Step) -> Array | None:
    """E[x·x′] of what every two weights of a channel read, less the mean that the norm takes off;
    None where these are no such two operations, or the weights are not few."""
    if not (_weighs_few(conv) and norm.node.op in _NORMS and _of_batch(norm)):
        return None
    x, channels = conv.of("input"), conv.shape("weight")[1]
    places = range(2, len(x.axes))
    common = averaged(x, places if norm.node.op == "instance_norm" else [0, *places], keep=True)
    apart = _apart(conv)
    same, other = (
        _pairs(x, unit, apart) - _pairs(common, unit, np.zeros_like(apart)) for unit in (0, -1)
    )
    return np.kron(np.eye(channels), same - other) + np.kron(np.ones((channels,) * 2), other)


def _weighs_few(conv: Step) -> bool:
    if conv.node.op not in _CONVOLUTIONS or conv.of("weight").mean:
        return False
    shape = conv.shape("weight")
    most = _MOST_OF_INPUTS if _of_input(conv) else _MOST
    return len(conv.shape("input")) == len(shape) and 1 < prod(shape[1:]) <= most


def _of_input(conv: Step) -> bool:
    return conv.name("input") in conv.graph.inputs


def _apart(conv: Step) -> Distances:
    """How far apart every two taps read, along each axis."""
    taps = conv.shape("weight")[2:]
    dilation = np.array(conv.numbers("dilation", len(taps)))
    places = np.indices(taps).reshape(len(taps), -1) * dilation[:, None]
    return np.asarray(np.abs(places[:, :, None] - places[:, None, :]))


def _pairs(x: Moments, unit: int, apart: Distances) -> Array:
    """Of one example and the same unit, or another one, at these distances."""
    for axis in range(len(x.axes)):
        x = as_one_atom(x, axis)
    places = (np.minimum(d, n - 1) for d, n in zip(apart, x.pairs.shape[2:], strict=True))
    return np.asarray(x.pairs[(0, unit, *places)])


def _of_batch(norm: Step) -> bool:
    """Whether a norm divides by what these very examples are."""
    return not norm.has("running_var") or bool(
        norm.number("training") or norm.number("use_input_stats")
    )


def _share(norm: Step) -> float:
    """What is added to σ², relative to it."""
    return norm.number("eps") / max(norm.of("input").variance, 1e-300)
