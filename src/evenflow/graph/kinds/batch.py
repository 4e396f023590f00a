"""Kinds of examples through a norm that takes all examples together.

A channel's values are Gaussian, over all examples and places, with the E[x·x′] of every two kinds
at every distance; the mean of all is taken off, and what is left divided by its own root mean
square. That flattens their spectrum (``algebra.spectrum``), of which each mode along the places has
one eigenvector for each kind, and those in which examples of one kind differ.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra import spectrum
from evenflow.graph.algebra.layout import dims_of, reshaped
from evenflow.graph.kinds.kinds import Kinds, dim_of_examples, examples_in, told, with_others
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.channels import scatter_beside
from evenflow.graph.rules.normalise import centred, eps_of, inverse
from evenflow.graph.rules.registry import Step

_NOTHING = 1e-150


def by_batch(step: Step, axes: tuple[int, ...], kinds: Kinds, result: Moments) -> Kinds:
    """Kinds of the result, given those of the input."""
    values = _Together(kinds, axes, centre=_centres(step))
    scale = 1 / max(values.second + eps_of(step), _NOTHING)
    alone, others = values.divided(eps_of(step) / max(values.second, _NOTHING))
    like = [replace(result, mean=0.0, spread=kind.spread) for kind in kinds]
    found = with_others(like, scale * alone, scale * others)
    channels = (step.node.shape[1], *(1,) * (len(step.node.shape) - 2))
    if step.has("weight"):
        found = tuple(kind.times(reshaped(step.of("weight"), channels)) for kind in found)
    if step.has("bias") and step.of("bias").second:
        found = tuple(kind.plus(reshaped(step.of("bias"), channels)) for kind in found)
    return found


def by_batch_back(
    step: Step, axes: tuple[int, ...], arriving: Kinds, known: Kinds, sent: Moments
) -> Kinds:
    """Kinds of the gradient that is sent back, given those of the one that arrives. That of all
    together, ``sent``, was divided by what all together tell of the deviation; kinds tell more."""
    gradients = _Together(arriving, axes, centre=_centres(step))
    scale = sent.second / gradients.second if gradients.second > _NOTHING else 0.0
    if known:
        x = step.of("input")
        values = centred(x, axes) if _centres(step) else x
        share = eps_of(step) / max(values.second, _NOTHING)
        by_kinds = _Together(known, axes, centre=_centres(step)).inverse(share)
        whole = inverse(values.scaled(max(values.second, _NOTHING) ** -0.5), axes, share)
        counted = scatter_beside(step)
        certain = (1 - counted) / (1 + share)
        scale *= (certain + counted * by_kinds) / (certain + counted * whole)
    like = [replace(sent, spread=kind.spread) for kind in arriving]
    return with_others(like, scale * gradients.alone, scale * gradients.others)


def _centres(step: Step) -> bool:
    return step.node.op == "batch_norm" or bool(step.number("centre"))


class _Together:
    """E[x·x′] within an example of each kind and between two kinds, less their mean."""

    def __init__(self, kinds: Kinds, axes: tuple[int, ...], *, centre: bool) -> None:
        kind = kinds[0]
        self.count, self.examples = len(kinds), examples_in(kind.axes)
        self.alone, self.others = told(kinds)
        examples = dim_of_examples(kind) or 0
        dims = [d for axis in axes for d in dims_of(kind, axis)]
        atoms = [atom for axis in kind.axes for atom in axis]
        self.dims = [d - (d > examples) for d in dims if d != examples]
        self.sizes = [atoms[d].size for d in dims if d != examples]
        if centre:
            self._centre()
        self.second = float(np.mean([own.flat[0] for own in self.alone]))

    def _centre(self) -> None:
        own, met = self.alone, self.others
        for dim, size in zip(self.dims, self.sizes, strict=True):
            own = pairing.average(own, dim + 1, size)
            met = pairing.average(met, dim + 2, size)
        weights = np.full((self.count,) * 2, 1 / self.count) - np.eye(self.count) / self.examples
        with_mean = own / self.examples + np.einsum("kj,kj...->k...", weights, met)
        common = with_mean.mean(axis=0)
        self.alone = self.alone - 2 * with_mean + common
        self.others = self.others - with_mean[:, None] - with_mean[None] + common

    def divided(self, share: float) -> tuple[Array, Array]:
        """Both, of values divided by the root of their own mean square, times its mean; ``share``
        is what is added to it, relative to its mean."""
        found = self._spectrum
        left = spectrum.left_of(found.shares.ravel(), found.often.ravel(), share)
        alone, others = self.alone.copy(), self.others.copy()
        if left is not None:
            own, met = found.changed(left.reshape(found.shares.shape))
            alone[(slice(None), *self._channel)] += own
            others[(slice(None), slice(None), *self._channel)] += met
        return alone, others

    def inverse(self, share: float) -> float:
        """E[1/σ²] of one channel, over 1/E[σ²]."""
        return spectrum.inverse_of(
            self._spectrum.shares.ravel(), self._spectrum.often.ravel(), share
        )

    @cached_property
    def _channel(self) -> tuple[slice | int, ...]:
        """Pairs of elements of one channel."""
        dims = range(self.alone.ndim - 1)
        return tuple(slice(None) if dim in self.dims else 0 for dim in dims)

    @cached_property
    def _spectrum(self) -> _Spectrum:
        every = slice(None)
        alone = self.alone[(every, *self._channel)]
        others = self.others[(every, every, *self._channel)]
        return _Spectrum(alone, others, self.sizes, self.examples / self.count)


class _Spectrum:
    """Eigenvalues of the E[x·x′] of one channel, as shares of their sum, and how many there are of
    each: first of the means of kinds, which have ``each`` examples, then of what examples of one
    kind have alone."""

    def __init__(self, alone: Array, others: Array, sizes: list[int], each: float) -> None:
        self.sizes, self.lengths, self.each = sizes, alone.shape[1:], each
        own, often = spectrum.modes(alone, sizes, 1)
        met, _ = spectrum.modes(others, sizes, 2)
        self.modes, count = often.shape, len(alone)
        own, met = own.reshape(count, -1), met.reshape(count, count, -1)
        same = np.einsum("kkm->km", met)
        blocks = np.moveaxis(each * met, -1, 0)
        np.einsum("mkk->mk", blocks)[...] = (own + (each - 1) * same).T
        values, self.vectors = np.linalg.eigh(blocks)
        found = np.maximum([values, (own - same).T], 0.0)
        copies = np.multiply.outer([1.0, max(each - 1, 0.0)], often.ravel())
        self.often = np.broadcast_to(copies[:, :, None], found.shape)
        self.trace = max(float(np.sum(found * self.often)), _NOTHING)
        self.shares = found / self.trace

    def changed(self, left: Array) -> tuple[Array, Array]:
        """What E[x·x′] gain, of each kind by itself and of each with each, where ``left`` is what
        is left of each eigenvalue."""
        of_means, apart = self.trace * self.shares * (left - 1)
        blocks = np.einsum("mik,mk,mjk->ijm", self.vectors, of_means, self.vectors)
        own = (np.einsum("kkm->km", blocks) + (self.each - 1) * apart.T) / self.each
        met = blocks / self.each
        np.einsum("kkm->km", met)[...] = own - apart.T
        return self._by_distance(own), self._by_distance(met)

    def _by_distance(self, values: Array) -> Array:
        often = self.often[0, :, 0].reshape(self.modes)
        first = values.ndim - 1
        values = values.reshape(*values.shape[:-1], *self.modes) * often
        return spectrum.from_modes(values, self.sizes, self.lengths, first)
