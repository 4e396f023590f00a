"""The statistics of the 2010 paper's networks at initialisation, as ``ef.check`` measures them.

``python benchmarks/paper_table.py`` prints, for five hidden layers of 1000 units on 300 images of
the moments of Shapeset-3×2 (32×32, pixel mean 0.499, sd 0.306), the standard deviations of
activations and back-propagated gradients by layer, the ratio of gradient variances and the mean
singular values of the layer Jacobians, beside the expected figures and the deviation from them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import nn

import evenflow as ef

WIDTH, LAYERS, IMAGES, SIDE, CLASSES = 1000, 5, 300, 32, 9
PRIORS = np.array([1 / 6] * 3 + [1 / 9] * 3 + [1 / 18] * 3)
ACTIVATIONS = {"tanh": nn.Tanh, "softsign": nn.Softsign, "sigmoid": nn.Sigmoid}

EXPECTED: dict[tuple[str, str], dict[str, list[float]]] = {
    ("tanh", "standard"): {
        "activation": [0.300, 0.176, 0.099, 0.055, 0.032],
        "gradient": [0.00165, 0.00307, 0.00552, 0.00984, 0.0171],
        "ratio": [107],
        "singular": [0.470, 0.483, 0.488, 0.489],
    },
    ("tanh", "normalized"): {
        "activation": [0.448, 0.395, 0.342, 0.302, 0.277],
        "gradient": [0.0232, 0.0272, 0.0314, 0.0357, 0.0389],
        "ratio": [2.8],
        "singular": [0.697, 0.737, 0.766, 0.779],
    },
    ("softsign", "standard"): {
        "activation": [0.220, 0.111, 0.057, 0.031, 0.017],
        "gradient": [0.00096, 0.0023, 0.0048, 0.0092, 0.0166],
        "ratio": [300],
        "singular": [0.400, 0.442, 0.465, 0.476],
    },
    ("softsign", "normalized"): {
        "activation": [0.312, 0.221, 0.164, 0.128, 0.107],
        "gradient": [0.0096, 0.0152, 0.0216, 0.0286, 0.0350],
        "ratio": [13],
        "singular": [0.558, 0.629, 0.678, 0.705],
    },
    ("sigmoid", "standard"): {
        "activation": [0.082, 0.072, 0.072, 0.071, 0.071],
        "gradient": [1.7e-6, 1.2e-5, 8.3e-5, 6.0e-4, 4.2e-3],
        "ratio": [6.5e6],
    },
}


def images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat images of one or two ellipses on a ground of the opposite polarity, and class labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    batch = np.empty((IMAGES, SIDE, SIDE), dtype=np.float32)
    for index, image in enumerate(batch):
        dark, light = rng.uniform(0, 0.45), rng.uniform(0.55, 1, size=2)
        ground, shapes = (dark, light) if index % 2 else (1 - dark, 1 - light)
        image[:] = ground
        for grey in shapes[: rng.integers(1, 3)]:
            a, b = rng.uniform(3, 12, size=2)
            cx, cy = rng.uniform(a, SIDE - a), rng.uniform(b, SIDE - b)
            image[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1] = grey
    labels = rng.choice(CLASSES, size=IMAGES, p=PRIORS)
    return torch.from_numpy(batch.reshape(IMAGES, -1)), torch.from_numpy(labels)


def network(activation: str, scheme: str, seed: int) -> nn.Sequential:
    """The paper's network, biases zero: ``standard`` is its eq. 1, ``normalized`` its eq. 16."""
    widths = [SIDE * SIDE] + [WIDTH] * LAYERS
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))
    name = {"standard": "heuristic", "normalized": "glorot"}[scheme]
    ef.init_(model, torch.empty(1, SIDE * SIDE), scheme=name, seed=seed)
    return model


def measured(activation: str, scheme: str, seed: int) -> dict[str, list[float]]:
    """The same quantities as ``EXPECTED``, from one check."""
    inputs, labels = images(seed)
    record = ef.check(network(activation, scheme, seed), inputs, labels, "cross_entropy").record
    hidden = [layer for layer in record.layers if layer.activation]
    summed = [layer for layer in record.layers if layer.op == "linear"][:LAYERS]
    # The cost is a mean over images; the paper's gradients are those of one image's cost.
    gradients = [IMAGES * math.sqrt(s.backward.variance) for s in summed if s.backward]
    return {
        "activation": [math.sqrt(layer.forward.variance) for layer in hidden],
        "gradient": gradients,
        "ratio": [(gradients[-1] / gradients[0]) ** 2],
        "singular": [layer.jacobian_singular_value for layer in hidden[1:]],
    }


def main(seeds: int = 5) -> None:
    """Print means over seeds beside what is expected."""
    worst = 0.0
    for (activation, scheme), expected in EXPECTED.items():
        runs = [measured(activation, scheme, seed) for seed in range(seeds)]
        print(f"{activation} {scheme}, mean of {seeds} seeds")
        for quantity, values in expected.items():
            ours = np.mean([run[quantity] for run in runs], axis=0)
            off = ours / np.array(values) - 1
            worst = max(worst, float(np.abs(off).max()))
            numbers = "  ".join(
                f"{a:.3g} ({100 * d:+.1f} %)" for a, d in zip(ours, off, strict=True)
            )
            print(f"  {quantity:<11}{numbers}")
    print(f"largest deviation: {100 * worst:.1f} %")


if __name__ == "__main__":
    main()
