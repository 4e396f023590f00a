"""Softmax and what is made of it: Moments of p = softmax(z) along an axis, and of its gradients.

Only what differs along the axis counts: κ = E[z_s z′_s] − E[z_s z′_t], s ≠ t, for two rows z and z′
(v for the same row). Σp = 1 makes the pairs of different keys follow from those of the same one,
and E[Σ p p′] of two rows lies between 1/n where they have nothing in common and E[Σp²] where they
are the same, as e^κ does. ``softmax.competition`` has the exact values of the latter.

Backwards δz = p (δ − Σ p δ); with δ independent of p, and d what of E[δ δ′] differs along the axis,
E[δz δz′] = d E[p p′ (1 − p − p′ + Σ p p′)] for the same key, and Σδz = 0 gives the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra.layout import dims_of
from evenflow.graph.moments import Array, Atom, Moments, aligned
from evenflow.graph.softmax.competition import Competition, competition
from evenflow.graph.softmax.visible import Visible, everything, visible

_Ends = Callable[[Array, Competition], tuple[Array, Array]]
_LARGEST = 500.0
"""Exponents above which e^v overflows."""


def softmax(z: Moments, axis: int, seen: Visible | None = None) -> Moments:
    """Moments of p; ``seen`` tells which keys a row sees, if not ``z.hidden`` does."""
    size = z.shape[axis]
    if size == 1:
        return Moments.constant(1.0, z.shape)
    rows = _Rows(z, axis, seen)
    found = rows.mean(lambda keys, at: (np.ones_like(keys), at.square)) / size
    pairs, by_key = np.moveaxis(found, rows.dim, -1), pairing.counts(size, found.shape[rows.dim])
    if by_key[-1] > 0:
        pairs[..., -1] = (1 - pairs[..., :-1] @ by_key[:-1]) / by_key[-1]
    return Moments(1 / size, found, rows.z.axes)


def softmax_back(z: Moments, cotangent: Moments, axis: int, seen: Visible | None = None) -> Moments:
    """Moments of the gradient with respect to z, given that with respect to p."""
    size = z.shape[axis]
    if size == 1:
        return Moments.constant(0.0, z.shape)
    rows = _Rows(z, axis, seen)
    arrived = one_atom(cotangent, axis)
    dim = dims_of(arrived, axis)[0]
    centred = arrived.pairs - pairing.average(arrived.pairs, dim, size)
    # Of each row alone p (δ − Σ p δ) has what it has where all p are alike, times this.
    passed = np.take(rows.mean(_passing), [0], axis=rows.dim) / (size - 1)
    factor = Moments(0.0, passed, rows.z.axes)
    return replace(arrived, mean=0.0, pairs=centred).times(factor)


def log_softmax(z: Moments, axis: int) -> Moments:
    """Moments of z − log Σ e^z."""
    size = z.shape[axis]
    rows = _Rows(z, axis, None)
    mean = -rows.expected_logarithm()
    own = np.take(rows.kappa, [0], axis=rows.dim)
    pairs = mean**2 + rows.kappa - 2 * own / size + rows.logarithms()
    return Moments(mean, pairs, rows.z.axes)


def log_softmax_back(z: Moments, cotangent: Moments, axis: int) -> Moments:
    """Of δ − p Σδ."""
    size = z.shape[axis]
    arrived = one_atom(cotangent, axis)
    mean = replace(arrived, pairs=pairing.average(arrived.pairs, dims_of(arrived, axis)[0], size))
    total = mean.scaled(size).times(softmax(z, axis))
    a, b, axes = aligned(arrived, total)
    return Moments(0.0, a - 2 * aligned(mean, total)[0] + b, axes)


def logsumexp(z: Moments, axis: int) -> Moments:
    """Moments of log Σ e^z, the axis kept at length 1."""
    rows = _Rows(z, axis, None)
    level = rows.expected_logarithm()
    pairs = rows.common + 2 * z.mean * level + level**2 + rows.logarithms()
    axes = (*z.axes[:axis], (), *z.axes[axis + 1 :])
    return Moments(z.mean + level, np.take(pairs, 0, axis=rows.dim), axes)


class _Rows:
    """The rows of a softmax: how alike two of them are, by where they differ."""

    def __init__(self, z: Moments, axis: int, seen: Visible | None) -> None:
        size = z.shape[axis]
        if seen is None and z.hidden is not None:
            seen = visible(z.hidden, len(z.axes), axis, size)
        self.seen = everything(size) if seen is None else seen
        z = one_atom(z, axis)
        self.z = replace(z, pairs=_told_apart(z, self.seen.axes), hidden=None)
        self.dim = dims_of(z, axis)[0]
        self.common = np.take(self.z.pairs, [-1], axis=self.dim)
        """What the logits of different keys share."""
        self.kappa = self.z.pairs - self.common
        self.variance = max(float(self.kappa.flat[0]), 0.0)
        self.shrink = min(1.0, _LARGEST / max(self.variance, 1e-300))
        alike = np.clip(self.kappa, -self.variance, self.variance) * self.shrink
        self.whole = float(np.expm1(self.variance * self.shrink))
        self.alike = np.expm1(alike) / self.whole if self.whole > 0 else np.ones_like(alike)
        """0 for two rows that have nothing in common, 1 for the same row."""

    def mean(self, ends: _Ends) -> Array:
        """Mean over pairs of rows of o/(n n′)·f, for each case of where they differ. ``ends`` gives
        f for rows that have nothing in common, and for the same row."""
        found = np.empty_like(self.alike)
        for differs, keys in self.seen.keys.items():
            which = self._entries(differs)
            unlike, like = ends(keys.number, competition(self.variance, keys.number))
            base = float(keys.weights @ unlike)
            found[which] = base + self.alike[which] * (float(keys.weights @ like) - base)
        return found

    def _entries(self, differs: frozenset[int]) -> npt.NDArray[np.bool_]:
        """Entries of the pairs of two rows that differ in these, of the axes along which rows see
        differently."""
        which = np.ones(self.alike.shape, dtype=bool)
        for axis in self.seen.axes:
            same = np.ones(self.alike.shape, dtype=bool)
            for dim in dims_of(self.z, axis):
                same[(slice(None),) * dim + (slice(1, None),)] = False
            which &= ~same if axis in differs else same
        return which

    def expected_logarithm(self) -> float:
        """E[log Σ e^u] of one row."""
        size = np.array([float(self.seen.size)])
        return float(competition(self.variance, size).logarithm[0])

    def logarithms(self) -> Array:
        """Cov(log Σe^u, log Σe^u′) = κ ∫₀¹ E[Σ p p′ at τκ] dτ, for each case."""
        size = float(self.seen.size)
        most = float(competition(self.variance, np.array([size])).square[0])
        kappa = np.take(self.kappa, [0], axis=self.dim)
        exponent = np.clip(kappa, -self.variance, self.variance) * self.shrink
        grown = np.where(np.abs(exponent) > 1e-6, np.expm1(exponent) - exponent, exponent**2 / 2)
        share = grown / self.whole / self.shrink if self.whole > 0 else 0.0
        return np.asarray((kappa + (most - 1) * share) / size)


def _passing(keys: Array, at: Competition) -> tuple[Array, Array]:
    """n·E[Σ p p′ (1 − p − p′ + Σ p p′)] of rows with nothing in common, and of the same row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        others = np.where(keys > 1, (1 - at.square / keys) ** 2 / (keys - 1), 0.0)
    unlike = 1 - 2 * at.square / keys + (at.square / keys) ** 2 + others
    return unlike, at.square - 2 * at.cube / keys + at.square_of_square / keys


def logit_variance(z: Moments, axis: int) -> float:
    """v = E[z²] − E[z z′] of two keys of one row: what they compete by."""
    same, other = apart(z, axis)
    return max(same.second - other.second, 0.0)


def apart(x: Moments, axis: int) -> tuple[Moments, Moments]:
    """Pairs of the same and of different indices along an axis, which is left at length 1."""
    atoms = x.axes[axis]
    before = sum(len(each) for each in x.axes[:axis])
    axes = (*x.axes[:axis], (), *x.axes[axis + 1 :])
    pairs = x.pairs
    if len(atoms) > 1 or (atoms and pairs.shape[before] > 2):
        pairs = pairing.joined(pairs, before, [atom.size for atom in atoms])
    same = other = pairs
    if atoms:
        same, other = np.take(pairs, 0, axis=before), np.take(pairs, -1, axis=before)
    return (
        replace(x, pairs=same, axes=axes, hidden=None),
        replace(x, pairs=other, axes=axes, hidden=None),
    )


def one_atom(x: Moments, axis: int) -> Moments:
    """With a single atom on an axis longer than 1, and same and other indices told apart."""
    atoms, before = x.axes[axis], sum(len(each) for each in x.axes[:axis])
    pairs = x.pairs
    if len(atoms) != 1:
        pairs = pairing.joined(pairs, before, [atom.size for atom in atoms])
        atoms = (Atom(x.shape[axis], atoms[0].role),)
    if pairs.shape[before] == 1:
        pairs = np.repeat(pairs, 2, axis=before)
    return replace(x, pairs=pairs, axes=(*x.axes[:axis], atoms, *x.axes[axis + 1 :]))


def stacked(same: Moments, other: Array, axis: int, atom: Atom) -> Moments:
    """The opposite of ``apart``: with an axis of pairs of the same and of different indices."""
    before = sum(len(each) for each in same.axes[:axis])
    axes = (*same.axes[:axis], (atom,), *same.axes[axis + 1 :])
    return replace(same, pairs=np.stack([same.pairs, other], axis=before), axes=axes)


def _told_apart(x: Moments, axes: frozenset[int]) -> Array:
    """Pairs that tell the same from different indices along these axes."""
    lengths = list(x.pairs.shape)
    for axis in axes:
        for dim in dims_of(x, axis):
            lengths[dim] = max(lengths[dim], 2)
    return np.broadcast_to(x.pairs, lengths)
