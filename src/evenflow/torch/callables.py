"""Torch activations (callables and modules) as the theory's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from evenflow.errors import ActivationError
from evenflow.theory.activations import Activation, from_callable

Array = npt.NDArray[np.float64]


def activation_from_torch(function: Callable[..., Any]) -> Activation:
    """A torch callable or nn.Module as an Activation, its derivative by automatic differentiation.

    A module is evaluated in float64, in its own mode, on copies of its parameters.
    """
    name = _name(function)
    called = _double(function)

    def value(z: Array) -> Array:
        with torch.no_grad():
            return _array(called(torch.tensor(z)), name)

    def derivative(z: Array) -> Array:
        x = torch.tensor(z, requires_grad=True)
        with torch.enable_grad():
            y = called(x.clone())  # an in-place activation may not write to a leaf
            if not isinstance(y, torch.Tensor) or not y.requires_grad:
                return np.zeros_like(z)
            (slope,) = torch.autograd.grad(y.sum(), x)
        return _array(slope, name)

    return from_callable(value, derivative, name=name)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _double(function: Callable[..., Any]) -> Callable[..., Any]:
    if not isinstance(function, torch.nn.Module):
        return function
    import copy

    return copy.deepcopy(function).double()


def _array(value: Any, name: str) -> Array:
    if not isinstance(value, torch.Tensor):
        raise ActivationError(
            f"an activation must return a tensor, not {type(value).__name__}", where=name
        )
    array: Array = value.detach().numpy()
    return array
