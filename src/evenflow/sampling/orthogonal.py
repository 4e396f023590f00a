"""Random orthogonal matrices from the contract's normal numbers.

A matrix of independent standard normal numbers, split as Q·R with the diagonal of R positive, has
a Q that is uniform over all matrices with orthonormal columns (Haar; Mezzadri 2007, "How to
generate random matrices from the classical compact groups").

The normal numbers are the same to the bit everywhere. Q rests on LAPACK, whose order of summation
differs between machines: two results agree within ``TOLERANCE`` before rounding to the dtype, for a
gain of 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evenflow.planning.distributions import Normal
from evenflow.sampling.contract import Key, recipe
from evenflow.sampling.elements import pitches_of, write_elements

TOLERANCE = 1e-9
"""Of an element of Q, absolute. Rounding in float64 grows with the condition of the normal matrix:
two orders of summation differ by some 1e-14 as a rule, and by more where it is nearly singular."""

Matrix = NDArray[np.float64]


def orthogonal(shape: tuple[int, ...], key: Key, threads: int | None = None) -> Matrix:
    """Return a tensor of ``shape`` whose reading (first axis) × (all others) is semi-orthogonal.

    The fewer of its rows and columns are orthonormal. Element (j, k) of the normal matrix, which
    has the longer side first, is element j·min(rows, columns) + k of the parameter's standard
    normal numbers in float64.
    """
    rows, columns = shape[0], math.prod(shape[1:])
    normal = np.empty((max(rows, columns), min(rows, columns)))
    standard = recipe(Normal(1.0), "float64", "an orthogonal matrix")
    pitches = pitches_of(normal.shape)
    write_elements(normal, standard, key, "float64", offset=0, pitches=pitches, threads=threads)
    q, r = np.linalg.qr(normal)
    q *= np.copysign(1.0, np.diagonal(r))
    return (q if rows >= columns else q.T).reshape(shape)


def delta_orthogonal(shape: tuple[int, ...], key: Key, threads: int | None = None) -> Matrix:
    """Return a convolution weight (out, in, *taps): orthogonal at the centre tap, else zero.

    The centre of k taps is tap (k − 1) // 2; the matrix is ``orthogonal((out, in), …)``.
    """
    weight = np.zeros(shape)
    taps = shape[2:]
    centre = np.ravel_multi_index([(k - 1) // 2 for k in taps], taps)
    weight.reshape(*shape[:2], -1)[..., centre] = orthogonal(shape[:2], key, threads)
    return weight
