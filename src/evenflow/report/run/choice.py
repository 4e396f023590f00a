"""Which layers and which moments of a training the pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from evenflow.record.run import Readings, Run
from evenflow.report.layers import brief, thin

Way = Literal["forward", "backward", "gradients"]
MOST_LINES = 12
"""Layers that a picture through time draws; the first and last are among them."""
MOST_POINTS = 150
"""Samples that it draws."""


def readings(run: Run, way: Way) -> Readings:
    """Outputs, gradients with respect to them, or gradients of weights."""
    return {"forward": run.forward, "backward": run.backward, "gradients": run.gradients}[way]


def drawn(run: Run, way: Way, most: int = MOST_LINES) -> tuple[int, ...]:
    """Numbers of the tensors that stand for the network, evenly spread over its depth.

    Activations forwards; backwards the gradients with respect to what they are given, as in the
    figures of Glorot and Bengio 2010; of weights the matrices. All layers where there are no two
    activations.
    """
    if way == "gradients":
        return thin([k for k, w in enumerate(run.weights) if len(w.shape) > 1], most)
    active = [k for k, layer in enumerate(run.layers) if layer.activation]
    weighted = [k for k, layer in enumerate(run.layers) if layer.weights]
    chosen = active if way == "forward" else [k for k in weighted if k < max(active, default=0)]
    return thin(chosen if len(chosen) > 1 else list(range(len(run.layers))), most)


def names(run: Run, way: Way, numbers: Sequence[int], limit: int = 18) -> list[str]:
    """Short names of those tensors, told apart."""
    if way == "gradients":
        known = [run.weights[k].name for k in numbers]
    else:
        known = [
            f"{run.layers[k].name or 'model'} {run.layers[k].op.lower()}".strip() for k in numbers
        ]
    return list(brief(known, limit)[1])


def moments(run: Run, most: int = MOST_POINTS) -> list[int]:
    """Numbers of samples, evenly spread over the steps, the first and the last among them."""
    if len(run.steps) <= most:
        return list(range(len(run.steps)))
    wanted = np.linspace(run.steps[0], run.steps[-1], most)
    return sorted({int(np.abs(run.steps - step).argmin()) for step in wanted})
