"""Tensors as NumPy arrays, for everything that measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def as_numpy(tensor: torch.Tensor) -> npt.NDArray[np.floating[Any]]:
    """Values on the host as float32 or float64."""
    values = tensor.detach()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    array: npt.NDArray[np.floating[Any]] = values.cpu().numpy()
    return array
