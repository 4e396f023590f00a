"""Channels that sum few weights differ in size, and a norm divides each by its own.

What it sends back goes by the mean of 1/σ² over the weights of a channel (``algebra.few_weights``),
of the matrix that tells how alike what every two of them read is.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.few_weights import mean_inverse
from evenflow.graph.algebra.layout import as_one_atom, averaged
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.registry import Step

_MOST = 64
"""Weights a channel above which channels are taken to be of one size."""
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
    return 1.0 if read is None else mean_inverse(read, conv.of("weight").kurtosis, _share(step))


def _read(conv: Step, norm: Step) -> Array | None:
    """E[x·x′] of what every two weights of a channel read, less the mean that the norm takes off;
    None where these are no such two operations, or the weights are not few."""
    if not (_has_few_weights(conv) and norm.node.op in _NORMS and _of_batch(norm)):
        return None
    x, channels = conv.of("input"), conv.shape("weight")[1]
    places = range(2, len(x.axes))
    common = averaged(x, places if norm.node.op == "instance_norm" else [0, *places], keep=True)
    apart = _apart(conv)
    same, other = (
        _pairs(x, unit, apart) - _pairs(common, unit, np.zeros_like(apart)) for unit in (0, -1)
    )
    return np.kron(np.eye(channels), same - other) + np.kron(np.ones((channels,) * 2), other)


def _has_few_weights(conv: Step) -> bool:
    if conv.node.op not in _CONVOLUTIONS or conv.of("weight").mean:
        return False
    shape = conv.shape("weight")
    return len(conv.shape("input")) == len(shape) and 1 < prod(shape[1:]) <= _MOST


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
