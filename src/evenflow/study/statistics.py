"""What is seen of a network during training, on 300 fixed test examples.

Everything that any figure needs is measured in one look and saved, so that a figure can be drawn
again, or differently, without training again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenflow.record.jacobian import singular_values
from evenflow.study.training.bank import Bank

EXAMPLES = 300
"""Test examples that the statistics are taken on."""
CELLS = 60
"""Cells of a histogram."""
REACH = 4.0
"""Histograms without natural ends reach this many standard deviations to either side."""

Array = NDArray[np.float32]
Look = dict[str, Array]


def observe(bank: Bank, images: Tensor, targets: Tensor) -> list[Look]:
    """Statistics of each network of the bank, by name.

    Args:
        bank: N networks.
        images: (examples, inputs).
        targets: one-hot labels, (examples, classes).

    Returns:
        For each network, over all examples and units, layers from the lowest hidden one upwards:
        ``activation_mean``, ``_sd``, ``_p2``, ``_p98`` (percentiles), of shape (layers,), and
        ``_histogram`` (layers, cells) with ``_extent`` (layers, 2), its ends. Likewise
        ``gradient_…`` of ∂C/∂z, where C is an example's own cost. ``weight_gradient_sd`` and
        its histogram are of ∂C/∂W, where C is the mean cost, the output layer included.
    """
    outputs = bank.activations(images)
    deltas = bank.gradients(outputs, targets)
    ends = (bank.activation.floor, bank.activation.ceiling)
    looks = []
    for n in range(len(bank.weights[0])):
        look = _summary("activation", [a[n] for a in outputs[1:-1]], ends)
        look |= _summary("gradient", [d[n] for d in deltas[:-1]])
        weight_gradients = [
            d[n].mT @ a[n] / len(images) for d, a in zip(deltas, outputs[:-1], strict=True)
        ]
        look |= _summary("weight_gradient", weight_gradients)
        looks.append(look)
    return looks


def jacobians(bank: Bank, images: Tensor, rows: Sequence[NDArray[np.intp]]) -> list[Look]:
    """``singular_values`` (rows, layers − 1, units) of ∂a/∂(a below), largest first.

    Of the hidden layers above the first, at each network's own ``rows`` of images (images, inputs);
    NaN fills up where widths differ.
    """
    outputs = bank.activations(images)
    longest = max((min(w.shape[1:]) for w in bank.weights[1:-1]), default=0)
    looks = []
    for n in range(len(bank.weights[0])):
        spectra = np.full((len(rows[n]), len(outputs) - 3, longest), np.nan, dtype=np.float32)
        for layer, (weight, above) in enumerate(
            zip(bank.weights[1:-1], outputs[2:-1], strict=True)
        ):
            matrix = weight[n].cpu().numpy()
            seen = above[n][rows[n]]
            slopes = bank.activation.chain_(torch.ones_like(seen), seen)
            for image, slope in enumerate(slopes.cpu().numpy()):
                found = singular_values(matrix, slope)
                spectra[image, layer, : len(found)] = found
        looks.append({"singular_values": spectra})
    return looks


def _summary(
    name: str, layers: list[Tensor], ends: tuple[float, float] = (-math.inf, math.inf)
) -> Look:
    rows = [_layer(values.flatten(), ends) for values in layers]
    keys = ("mean", "sd", "p2", "p98", "extent", "histogram")
    columns = zip(*rows, strict=True)
    return {
        f"{name}_{key}": np.array(column, dtype=np.float32)
        for key, column in zip(keys, columns, strict=True)
    }


def _layer(
    values: Tensor, ends: tuple[float, float]
) -> tuple[float, float, float, float, tuple[float, float], list[float]]:
    mean, sd = float(values.mean()), float(values.std(correction=0))
    low, high = _percentiles(values)
    if not all(map(math.isfinite, ends)):
        reach = REACH * math.hypot(mean, sd) or 1e-30
        ends = (max(ends[0], -reach), min(ends[1], reach))
    counts = torch.histc(values, CELLS, *ends).tolist()
    return mean, sd, low, high, ends, counts


def _percentiles(values: Tensor) -> tuple[float, float]:
    """The 2nd and the 98th, the nearest element above."""
    tail = max(1, round(0.02 * len(values)))
    low = values.topk(tail, largest=False, sorted=False).values.max()
    high = values.topk(tail, sorted=False).values.min()
    return float(low), float(high)
