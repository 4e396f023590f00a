"""Mixing: what attention does to how alike the tokens of its operands are.

With V, K, Q and G the kernels E[x·x′] of two tokens of values, keys, queries and of the arriving
gradient, M the keys that each row sees, n their numbers and P = M/n, two rows mix independently as
P V Pᵀ does; a row with itself has Σp² = S/n instead of 1/n. Backwards, with r = P V and m = P V Pᵀ,

    E[δz_ik δz_jl] = G_ij/(n_i n_j) · (V_kl − r_il − r_jk + m_ij),

and the gradients of queries and keys are sums of it, times K_kl or Q_ij: products of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evenflow.graph.moments import Array
from evenflow.graph.softmax.competition import Competition


@dataclass(frozen=True, eq=False)
class Mixing:
    """Rows of a softmax over the keys that they see."""

    seen: Array
    """M: rows by keys, 1 where a row sees a key."""
    met: Competition
    """At the number of keys of each row."""

    @cached_property
    def number(self) -> Array:
        """n, keys of each row."""
        return np.asarray(self.seen.sum(axis=1))

    @cached_property
    def _mean(self) -> Array:
        return np.asarray(self.seen / self.number[:, None])

    @cached_property
    def _square(self) -> Array:
        """Σp² of each row."""
        return np.minimum(self.met.square / self.number, 1.0)

    @cached_property
    def _others(self) -> Array:
        """E[p p′] of two keys of one row."""
        n = self.number
        return np.where(n > 1, (1 - self._square) / np.maximum(n * (n - 1), 1.0), 0.0)

    @cached_property
    def _passed(self) -> Array:
        """Σ E[p²(1 − p …)²] of a row over what it is where all p are alike."""
        n, met = self.number, self.met
        passed = met.square - 2 * met.cube / n + met.square_of_square / n
        return np.where(n > 1, passed / np.maximum(1 - 1 / n, 1e-12), 0.0)

    def forwards(self, values: Array) -> Array:
        """Of Σ_k p_ik v_k."""
        found = np.asarray(self._mean @ values @ self._mean.T)
        n, alone = self.number, self.seen @ np.diag(values)
        every = np.diag(found) * n**2
        np.fill_diagonal(found, self._square * alone / n + self._others * (every - alone))
        return found

    def to_values(self, gradient: Array) -> Array:
        """Of Σ_i p_ik δ_i."""
        own = np.diag(gradient)
        across = self._mean.T @ (gradient - np.diag(own)) @ self._mean
        found = across + self.seen.T @ ((own * self._others)[:, None] * self.seen)
        same = np.diag(across) + self.seen.T @ (own * self._square / self.number)
        np.fill_diagonal(found, same)
        return np.asarray(found)

    def to_queries(self, values: Array, keys: Array, gradient: Array, chance: float = 0.0) -> Array:
        """Of Σ_k δz_ik k_k; ``chance`` is the mean square correlation of two tokens that keys and
        values have from the same source."""
        seen, r = self.seen, self._mean @ values
        one_sided = (r * (seen @ keys)) @ seen.T
        own = np.clip(1 - values, 0, None) * np.clip(1 - keys, 0, None)
        both = values * keys + chance * (own - np.diag(np.diag(own)))
        found = seen @ both @ seen.T - one_sided - one_sided.T
        found += (r @ self._mean.T) * (seen @ keys @ seen.T)
        return np.asarray(self._arriving(gradient) * found)

    def to_keys(self, values: Array, queries: Array, gradient: Array) -> Array:
        """Of Σ_i δz_ik q_i."""
        seen, r = self.seen, self._mean @ values
        arriving = self._arriving(gradient) * queries
        one_sided = seen.T @ (r * (arriving @ seen))
        found = values * (seen.T @ arriving @ seen) - one_sided - one_sided.T
        return np.asarray(found + seen.T @ (arriving * (r @ self._mean.T)) @ seen)

    def _arriving(self, gradient: Array) -> Array:
        """G_ij/(n_i n_j), with what a row alone lets through."""
        found = gradient / np.outer(self.number, self.number)
        np.fill_diagonal(found, np.diag(found) * self._passed)
        return np.asarray(found)
