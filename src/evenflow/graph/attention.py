"""Softmax and what is made of it: Moments of p = softmax(z) along an axis, and of its gradients.

Only what differs along the axis counts: κ = E[z_s z′_s] − E[z_s z′_t], s ≠ t, for two rows z and z′
(v for the same row). Σp = 1 makes the pairs of different keys follow from those of the same one,
and E[Σ p p′] of two rows lies between 1/n where they have nothing in common and E[Σp²] where they
are the same, as e^κ does. ``graph.competition`` has the exact values of the latter.

Backwards δz = p (δ − Σ p δ); with δ independent of p, and d what of E[δ δ′] differs along the axis,
E[δz δz′] = d E[p p′ (1 − p − p′ + Σ p p′)] for the same key, and Σδz = 0 gives the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph import pairs as pairing
from evenflow.graph.competition import Competition, competition
from evenflow.graph.layout import dims_of
from evenflow.graph.moments import Array, Atom, Moments, aligned
from evenflow.graph.visible import Keys, Visible, everything, visible

_Ends = Callable[[Array, Competition], tuple[Array, Array]]
_LARGEST = 200.0
"""Variance of logits above which exponentials overflow; the largest then takes all."""


def softmax(z: Moments, axis: int, seen: Visible | None = None) -> Moments:
    """Moments of p; ``seen`` tells which keys a row sees, if not ``z.hidden`` does."""
    size = z.shape[axis]
    if size == 1:
        return Moments.constant(1.0, z.shape)
    rows = _Rows(z, axis, seen)
    same = rows.mean(lambda keys, at: (np.ones_like(keys), at.square)) / size
    other = (1 / size - same) / (size - 1)
    return rows.along(same, other, 1 / size)


def softmax_back(z: Moments, cotangent: Moments, axis: int, seen: Visible | None = None) -> Moments:
    """Moments of the gradient with respect to z, given that with respect to p."""
    size = z.shape[axis]
    if size == 1:
        return Moments.constant(0.0, z.shape)
    rows = _Rows(z, axis, seen)
    same, other = apart(cotangent, axis)
    moved = replace(same, pairs=same.pairs - other.pairs)
    passed = replace(rows.same, mean=0.0, pairs=rows.mean(_passing) / size)
    found = moved.times(passed)
    return stacked(found, -found.pairs / (size - 1), axis, Atom(size, "positions"))


def log_softmax(z: Moments, axis: int) -> Moments:
    """Moments of z − log Σ e^z."""
    size = z.shape[axis]
    rows = _Rows(z, axis, None)
    mean = -rows.expected_logarithm()
    level = rows.logarithms() + mean**2
    kappa = rows.kappa
    return rows.along(level + kappa * (1 - 2 / size), level - 2 * kappa / size, mean)


def log_softmax_back(z: Moments, cotangent: Moments, axis: int) -> Moments:
    """Of δ − p Σδ."""
    size = z.shape[axis]
    same, other = apart(cotangent, axis)
    total = replace(same, pairs=size * same.pairs + size * (size - 1) * other.pairs)
    each = []
    for mine, share in zip((same, other), apart(softmax(z, axis), axis), strict=True):
        a, b, axes = aligned(total, share)
        own, _, _ = aligned(mine, share)
        each.append(Moments(0.0, own - 2 * a / size**2 + a * b, axes))
    return stacked(each[0], each[1].pairs, axis, Atom(size, "units"))


def logsumexp(z: Moments, axis: int) -> Moments:
    """Moments of log Σ e^z, the axis kept at length 1."""
    rows = _Rows(z, axis, None)
    common = rows.other
    level = rows.expected_logarithm()
    pairs = common.pairs + 2 * z.mean * level + level**2 + rows.logarithms()
    return replace(common, mean=z.mean + level, pairs=pairs, spread=0.0)


class _Rows:
    """The rows of a softmax: how alike two of them are, by where they differ."""

    def __init__(self, z: Moments, axis: int, seen: Visible | None) -> None:
        size = z.shape[axis]
        if seen is None and z.hidden is not None:
            seen = visible(z.hidden, len(z.axes), axis, size)
        self.seen = everything(size) if seen is None else seen
        self.axis = axis
        z = replace(z, pairs=_told_apart(z, self.seen.axes))
        self.same, self.other = apart(z, axis)
        self.kappa = self.same.pairs - self.other.pairs
        self.variance = max(float(self.kappa.flat[0]), 0.0)
        if self.variance > _LARGEST:
            raise NoRuleError("a softmax of logits so large that only the largest counts")
        alike = np.clip(self.kappa, -self.variance, self.variance)
        whole = np.expm1(self.variance)
        self.alike = np.expm1(alike) / whole if whole > 0 else np.ones_like(alike)
        """0 for two rows that have nothing in common, 1 for the same row."""

    def mean(self, ends: _Ends) -> Array:
        """Mean over pairs of rows of o/(n n′)·f, for each case of where they differ. ``ends`` gives
        f for rows that have nothing in common, and for the same row."""
        found = np.empty_like(self.alike)
        for which, keys in self._cases():
            unlike, like = ends(keys.count, competition(self.variance, keys.count))
            base = float(keys.weights @ unlike)
            found[which] = base + self.alike[which] * (float(keys.weights @ like) - base)
        return found

    def _cases(self) -> list[tuple[tuple[Array, ...], Keys]]:
        """Entries of the pairs for each set of axes in which rows that see differently differ."""
        dims = {a: dims_of(self.same, a) for a in self.seen.axes}
        where: dict[frozenset[int], list[tuple[int, ...]]] = {}
        for index in np.ndindex(*self.alike.shape):
            differs = frozenset(a for a, own in dims.items() if any(index[d] for d in own))
            where.setdefault(differs, []).append(index)
        return [
            (tuple(np.array(places).T), self.seen.keys[differs])
            for differs, places in where.items()
        ]

    def along(self, same: Array, other: Array, mean: float) -> Moments:
        """Moments whose pairs of the same and of different keys are these."""
        found = replace(self.same, mean=mean, pairs=same, spread=0.0)
        return stacked(found, other, self.axis, Atom(self.seen.size, "positions"))

    def expected_logarithm(self) -> float:
        """E[log Σ e^u] of one row."""
        size = np.array([float(self.seen.size)])
        return float(competition(self.variance, size).logarithm[0])

    def logarithms(self) -> Array:
        """Cov(log Σe^u, log Σe^u′) = κ ∫₀¹ E[Σ p p′ at τκ] dτ, for each case."""
        size = float(self.seen.size)
        most = float(competition(self.variance, np.array([size])).square[0])
        kappa, whole = self.kappa, np.expm1(self.variance)
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(np.abs(kappa) > 1e-9, np.expm1(kappa) - kappa, kappa**2 / 2)
        return np.asarray((kappa + (most - 1) * (grown / whole if whole > 0 else 0.0)) / size)


def _passing(keys: Array, at: Competition) -> tuple[Array, Array]:
    """n·E[Σ p p′ (1 − p − p′ + Σ p p′)] of rows with nothing in common, and of the same row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        others = np.where(keys > 1, (1 - at.square / keys) ** 2 / (keys - 1), 0.0)
    unlike = 1 - 2 * at.square / keys + (at.square / keys) ** 2 + others
    return unlike, at.square - 2 * at.cube / keys + at.square_of_square / keys


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
