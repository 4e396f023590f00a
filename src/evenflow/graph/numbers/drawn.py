"""Drawn: a tensor of random numbers that has given Moments, the inverse of ``measured``.

E[x·x′] by where two elements differ is undone by Möbius inversion: x is its mean plus independent
Gaussian parts, one for each set of atoms that a part depends on. What two elements share if they
differ nowhere else is the part that does not depend on that atom; the rest is the part that does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.powers import logarithm
from evenflow.graph.moments import Array, Moments

_NEGLIGIBLE = 1e-9
"""Of q: parts below are rounding."""


def drawn(
    x: Moments, generator: np.random.Generator, *, positive: bool = False
) -> npt.NDArray[np.float32]:
    """A tensor of the shape and the Moments of ``x``, Gaussian, or lognormal if ``positive``.

    Masked elements are −∞. Raises ``NoRuleError`` if ``positive`` and the Moments do not keep away
    from zero.
    """
    if positive:
        logs = drawn(replace(logarithm(x), hidden=x.hidden), generator)
        return np.asarray(np.exp(logs), np.float32)
    sizes = [atom.size for axis in x.axes for atom in axis]
    covariance = x.pairs - x.mean**2
    noise, variance = np.zeros(sizes), 0.0
    parts = dict(_parts(covariance))
    for depends, part in parts.items():
        if part.flat[0] > _NEGLIGIBLE * x.second:
            own = _noise(part, sizes, depends, generator)
            for dim, kept in _opposed(parts, depends, sizes):
                variance -= (1 - kept**2) * float(part.flat[0]) / sizes[dim]
                own = own - (1 - kept) * own.mean(axis=dim, keepdims=True)
            noise = noise + own
            variance += float(part.flat[0])
    if variance > 0:
        noise *= (max(float(covariance.flat[0]), 0.0) / variance) ** 0.5
    values = (x.mean + noise * _norms(x, generator)).reshape(x.shape)
    if x.hidden is not None:
        values = np.where(x.hidden, -np.inf, values)
    return np.asarray(values, np.float32)


def _parts(covariance: Array) -> Iterator[tuple[tuple[bool, ...], Array]]:
    """For each set of atoms, told by which are in it, the part that depends on these."""
    for depends in product((False, True), repeat=covariance.ndim):
        if not any(yes and covariance.shape[dim] == 1 for dim, yes in enumerate(depends)):
            yield depends, _part(covariance, depends)


def _opposed(
    parts: Mapping[tuple[bool, ...], Array], depends: tuple[bool, ...], sizes: list[int]
) -> Iterator[tuple[int, float]]:
    """Atoms along which elements are less alike than independent ones, as those are that sum to
    zero: how much is left of their mean."""
    for dim, yes in enumerate(depends):
        without = (*depends[:dim], False, *depends[dim + 1 :])
        common = float(parts[without].flat[0]) if yes and without in parts else 0.0
        if common < 0:
            share = 1 + sizes[dim] * common / float(parts[depends].flat[0])
            yield dim, max(share, 0.0) ** 0.5


def _part(covariance: Array, depends: tuple[bool, ...]) -> Array:
    """Covariance, by distance, of the part that depends on these atoms and on no other."""
    for dim, yes in enumerate(depends):
        last = np.take(covariance, [-1], axis=dim)
        if yes:
            near = np.take(covariance, range(covariance.shape[dim] - 1), axis=dim)
            covariance = near - last
        else:
            covariance = last
    return covariance


def _noise(
    part: Array, sizes: list[int], depends: tuple[bool, ...], generator: np.random.Generator
) -> Array:
    shape = [size if yes else 1 for size, yes in zip(sizes, depends, strict=True)]
    white = generator.standard_normal(shape)
    ordered = [dim for dim, length in enumerate(part.shape) if length > 1]
    if not ordered:
        return np.asarray(np.sqrt(part.flat[0]) * white)
    # On a ring, neighbours' covariances are a convolution: filter white noise by its root.
    ring = part
    for dim in ordered:
        steps = np.arange(sizes[dim])
        steps = np.minimum(steps, sizes[dim] - steps)
        inside = (steps < part.shape[dim]).astype(float)
        near = np.take(ring, np.minimum(steps, part.shape[dim] - 1), axis=dim)
        ring = near * inside.reshape([-1 if d == dim else 1 for d in range(ring.ndim)])
    spectrum = np.maximum(np.fft.fftn(ring, axes=ordered).real, 0.0)
    spectrum *= part.flat[0] / spectrum.mean()
    filtered = np.fft.fftn(white, axes=ordered) * np.sqrt(spectrum)
    return np.asarray(np.fft.ifftn(filtered, axes=ordered).real)


def _norms(x: Moments, generator: np.random.Generator) -> Array:
    """What stretches the values of each example, so that their squares spread as they should."""
    atoms = [atom for axis in x.axes for atom in axis]
    places = [dim for dim, atom in enumerate(atoms) if atom.role == "examples"]
    if x.spread <= 0 or not places:
        return np.ones([1] * len(atoms))
    width = np.log1p(x.spread)
    shape = [atom.size if dim in places else 1 for dim, atom in enumerate(atoms)]
    return np.asarray(np.exp(np.sqrt(width) * generator.standard_normal(shape) / 2 - width / 4))
