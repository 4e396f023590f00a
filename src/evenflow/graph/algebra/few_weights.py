"""Few weights: how channels that sum few weights differ in size.

A channel y = Σ_i w_i x_i has the variance wᵀKw over examples and places, K_ij = E[x_i·x_j] being
that of what two of its weights read. What is divided by it goes by E[1/(wᵀKw)], which is more than
1/E[wᵀKw]: a mean over weights of the law's kurtosis, drawn once and for all.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evenflow.graph.moments import Array

_DRAWS = 4096
_UNIFORM, _NORMAL = 1.8, 3.0
_NOTHING = 1e-6


def mean_inverse(read: Array, kurtosis: float, share: float = 0.0) -> float:
    """E[1/(wᵀKw + eps)]·(E[wᵀKw] + eps), eps being ``share`` of E[wᵀKw].

    Weights have a kurtosis between that of a uniform and that of a normal law.
    """
    weights = _weights(len(read), round(min(max(kurtosis, _UNIFORM), _NORMAL), 2))
    size = np.einsum("di,di->d", weights @ read, weights)
    mean = float(size.mean())
    size = np.maximum(size, _NOTHING * mean) + share * mean
    return float(np.mean(1 / size) * np.mean(size))


@lru_cache(maxsize=64)
def _weights(count: int, kurtosis: float) -> Array:
    """Draws of a uniform number and a normal one, mixed so that they have this kurtosis."""
    generator = np.random.default_rng(count)
    uniform = ((_NORMAL - kurtosis) / (_NORMAL - _UNIFORM)) ** 0.5
    flat = generator.uniform(-(3**0.5), 3**0.5, (_DRAWS, count))
    found: Array = uniform**0.5 * flat + (1 - uniform) ** 0.5 * generator.standard_normal(
        (_DRAWS, count)
    )
    return found
