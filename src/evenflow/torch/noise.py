"""Noise in the shape of a model's inputs, for calibrating without data."""

from __future__ import annotations

import math

import torch

from evenflow.errors import InputError
from evenflow.torch.inputs import Call

_ELEMENTS = 2**19
"""Numbers in a batch of noise: 2048 rows of width 256, and fewer of larger inputs."""
_ROWS = (32, 2048)


def noise_rows(call: Call) -> int:
    """How many examples a batch of noise should have."""
    largest = max((t[:1].numel() for t in call.tensors().values() if t.dim()), default=1)
    low, high = _ROWS
    return max(low, min(high, _ELEMENTS // max(largest, 1)))


def noise_like(call: Call, device: torch.device, seed: int, rows: int | None = None) -> Call:
    """The same call on independent standard normal inputs; ``rows`` replaces the batch size.

    Floating-point tensors alone can be made of noise: raises ``InputError`` for a call without
    any, since indices must lie in a range that only the data knows.
    """
    tensors = call.tensors().values()
    if not any(t.is_floating_point() for t in tensors):
        raise InputError(
            'calibrate="noise" needs a floating-point input, and this model takes none',
            remedy="pass a real batch as calibrate=",
        )
    sizes = {t.shape[0] for t in tensors if t.dim()}
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor) -> torch.Tensor:
        shape = list(tensor.shape)
        if rows is not None and len(sizes) == 1 and shape:
            shape[0] = rows
        if tensor.is_floating_point():
            return torch.randn(shape, generator=generator).to(device, tensor.dtype)
        if tensor.is_meta:
            return torch.zeros(shape, dtype=tensor.dtype, device=device)
        repeats = math.ceil(shape[0] / max(tensor.shape[0], 1)) if shape else 1
        return torch.cat([tensor] * repeats)[: shape[0]] if shape else tensor

    return call.map(draw)
