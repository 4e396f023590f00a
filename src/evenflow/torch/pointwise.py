"""An Activation, which NumPy computes, as a differentiable function of torch tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from evenflow.errors import NoRuleError
from evenflow.theory.activations import Activation


def pointwise(activation: Activation, x: torch.Tensor) -> torch.Tensor:
    """φ(x), element by element, x real; gradients are multiplied by φ′(x)."""
    if not x.is_floating_point():
        raise NoRuleError(f"{activation.name} of what is no floating-point tensor")
    found: torch.Tensor = _Pointwise.apply(x, activation)  # type: ignore[no-untyped-call]
    return found


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, activation: Activation) -> torch.Tensor:
        values = x.detach().double().numpy()
        with np.errstate(all="ignore"):
            ctx.slope = torch.from_numpy(np.asarray(activation.derivative(values))).to(x.dtype)
            return torch.from_numpy(np.asarray(activation.function(values))).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.slope, None
