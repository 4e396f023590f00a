"""Moments of a model's own parameters and inputs, measured in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from evenflow.graph.graph import Graph
from evenflow.graph.kinds.measured import kinds_of
from evenflow.graph.laws.drawn import differs_from_normal, of_values
from evenflow.graph.moments import Moments, roles_of
from evenflow.graph.numbers.measured import measured as moments_of
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters

_DISTANCES = 7

_ENOUGH, _MOST = 64, 65_536
"""Elements from which a kurtosis can be told, and beyond which it no longer matters."""
_CHANCE = 9.0
"""Squared standard errors up to which a mean is what draws of mean zero have by chance."""


def parameter_moments(graph: Graph, parameters: ModelParameters) -> dict[str, Moments]:
    """Moments of every floating-point parameter and buffer of the graph as it is now; of complex
    ones their second moment is that of their size, and the mean is not told.

    On the meta device there are no values: what the modules' own initialisers would write counts.
    What has neither (a parameter that the user's own code fills, constants) is left out: the
    calculus then names it as an obstacle, or knows it from the Graph.
    """
    found = dict(parameters.laws)
    for name in graph.parameters:
        tensor = parameters.values.get(name)
        if tensor is None:
            continue
        if tensor.is_floating_point():
            found[name] = measured(tensor)
        elif tensor.is_complex():
            size = measured(torch.view_as_real(tensor.detach())).second * 2
            found[name] = Moments.independent(0.0, size, tuple(tensor.shape))
    return found


def measured(tensor: torch.Tensor) -> Moments:
    """Moments of a floating-point parameter, its elements alike but for their order."""
    shape = tuple(tensor.shape)
    if not tensor.numel():
        return Moments.constant(0.0, shape)
    values = tensor.detach()
    mean = float(values.mean(dtype=torch.float64))
    second = float(values.norm(dtype=torch.float64)) ** 2 / values.numel()
    if mean**2 < _CHANCE * (second - mean**2) / values.numel():
        mean = 0.0
    found = Moments.independent(mean, max(second, mean**2), shape)
    if _ENOUGH <= values.numel() <= _MOST and found.variance > 0:
        fourth = float((values.double() - mean).pow(4).mean())
        found = replace(found, kurtosis=fourth / found.variance**2)
        if len(shape) == 1 and differs_from_normal(found.kurtosis, values.numel()):
            found = replace(found, law=of_values(values.double().cpu().numpy().copy()))
    return found


def input_moments(graph: Graph, call: Call) -> dict[str, Moments]:
    """Moments of every floating-point input; standard normal ones for meta tensors."""
    found, values = {}, {}
    for name, tensor in zip(graph.inputs, call.tensors().values(), strict=True):
        if not tensor.is_floating_point() or name in graph.values:  # of a mask all is known
            continue
        shape = tuple(tensor.shape)
        if tensor.is_meta or not tensor.numel():
            found[name] = _white(shape)
        else:
            values[name] = tensor.detach().double().cpu().numpy()
            found[name] = moments_of(values[name], roles_of(shape), _distances(shape))
    apart = kinds_of(values, {name: _distances(array.shape) for name, array in values.items()})
    return {name: replace(each, kinds=apart.get(name, ())) for name, each in found.items()}


def _distances(shape: tuple[int, ...]) -> int:
    """How far apart pixels are told from strangers; of anything else only same from different."""
    return _DISTANCES if len(shape) >= 4 else 0


def _white(shape: tuple[int, ...]) -> Moments:
    """Standard normal inputs. Pixels are told apart by distance: what convolutions make of
    neighbours has inputs in common."""
    found = Moments.independent(shape=shape, roles=roles_of(shape))
    if len(shape) < 4:
        return found
    atoms = (atom for axis in found.axes for atom in axis)
    lengths = [min(_DISTANCES + 2, a.size) if a.role == "positions" else 2 for a in atoms]
    pairs = np.zeros(lengths)
    pairs.flat[0] = 1.0
    return replace(found, pairs=pairs)
