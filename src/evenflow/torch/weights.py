"""Moments of a model's own parameters and inputs, measured in one pass."""

from __future__ import annotations

import torch

from evenflow.graph.graph import Graph
from evenflow.graph.moments import Moments
from evenflow.torch.inputs import Call
from evenflow.torch.names import ModelParameters


def parameter_moments(graph: Graph, parameters: ModelParameters) -> dict[str, Moments]:
    """Moments of every floating-point parameter and buffer of the graph as it is now.

    What has no values (the meta device) or none of its own (constants of the user's code) is left
    out: the calculus then names it as an obstacle, or knows it from the Graph.
    """
    found = {}
    for name in graph.parameters:
        tensor = parameters.tensors.get(name)
        if tensor is not None and tensor.is_floating_point() and not tensor.is_meta:
            found[name] = measured(tensor)
    return found


def measured(tensor: torch.Tensor) -> Moments:
    """Moments of a floating-point parameter: the same for all examples and positions."""
    if not tensor.numel():
        return Moments.constant(0.0)
    values = tensor.detach()
    mean = values.mean(dtype=torch.float64)
    second = values.norm(dtype=torch.float64) ** 2 / values.numel()
    return Moments.parameter(float(mean), float(second))


def input_moments(graph: Graph, call: Call) -> dict[str, Moments]:
    """Moments of every floating-point input; standard normal ones for meta tensors."""
    found = {}
    for name, tensor in zip(graph.inputs, call.tensors().values(), strict=True):
        if not tensor.is_floating_point():
            continue
        if tensor.is_meta or not tensor.numel():
            found[name] = Moments.independent()
        else:
            found[name] = _measured_input(tensor.detach().double())
    return found


def _measured_input(x: torch.Tensor) -> Moments:
    """Examples along axis 0; units along axis 1 of images, the last axis of all else."""
    mean, second = float(x.mean()), float(x.square().mean())
    examples = _shared(x, (0,)) if x.dim() > 1 and x.shape[0] > 1 else mean**2
    places = tuple(range(2, x.dim())) if x.dim() >= 4 else (1,) if x.dim() == 3 else ()
    positions = _shared(x, places) if places else second
    examples = min(max(examples, mean**2), second)
    return Moments(mean, second, examples, min(max(positions, examples), second))


def _shared(x: torch.Tensor, axes: tuple[int, ...]) -> float:
    """E over the rest of (E over ``axes`` of x)², products of an element with itself left out."""
    n = 1
    for axis in axes:
        n *= x.shape[axis]
    if n < 2:
        return float(x.square().mean())
    total = x.sum(axes).square() - x.square().sum(axes)
    return float(total.mean()) / (n * (n - 1))
