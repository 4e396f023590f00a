"""Simulate a stack: how second moments travel through L layers of width n, and how they scatter.

Mean field says where the second moment goes: q' = n v E[φ²](q) forwards, n v E[φ′²](q) backwards.
At finite width each layer also multiplies both by a random factor of relative variance κ/n. A part
of it is common to all examples, the more the more alike they have become; the rest is each
example's own. Later layers amplify or damp both by the q-slope, and a mean over examples is pulled
up by those that ran away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenflow.planning.response import Response, mixed

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Travel:
    """Logs of batch means of second moments, one row a draw of the weights."""

    forward: Array
    """(draws, depth): pre-activations, first layer to last."""
    ideal: Array
    """(depth,): the same of mean field."""
    backward: Array
    """(draws,): gradient at the first layer over that at the last."""


def mean_field(response: Response, log_gain: float, depth: int) -> tuple[float, float]:
    """Logs of (forward, backward) ratios of an infinitely wide stack; ``log_gain`` is log(n v)."""
    log_q = gradient = 0.0
    for _ in range(depth - 1):
        gradient += log_gain + float(response.backward(np.asarray(log_q)))
        log_q = log_gain + float(response.second(np.asarray(log_q)))
    return log_q, gradient


def simulate(
    response: Response,
    log_gain: float,
    depth: int,
    width: int,
    *,
    draws: int,
    examples: int,
    rng: np.random.Generator,
    held: int = 0,
) -> Travel:
    """Send independent normal examples through ``draws`` random networks.

    With ``held`` > 0 that many further examples are calibrated upon: every layer is rescaled so
    that their mean second moment is mean field's, and ``forward`` is that of the others.
    """
    log_q = _scatter(np.full((draws, examples + held), 2 / width), rng)  # of the inputs' norms
    target, correlation = 0.0, np.zeros(draws)
    path, ideal, gradients = [], [], []
    for layer in range(depth):
        if held:
            log_q = log_q - (_log_mean(log_q[:, examples:]) - target)[:, None]
        path.append(_log_mean(log_q[:, :examples]))
        ideal.append(target)
        if layer == depth - 1:
            break
        typical = np.median(log_q, axis=1)
        step = _Step(response, log_q, typical, correlation, width, rng)
        ahead = step.forward()
        following = log_gain + response.second(log_q) + ahead
        following = np.clip(following, response.log_q[0], response.log_q[-1])
        any_way = log_gain + response.backward(log_q) + step.backward(ahead)
        radial = 2 * np.log(np.abs(response.slope(log_q)) + 1e-12) + following - log_q
        gradients.append((any_way[:, :examples], radial[:, :examples]))
        log_q = following
        correlation = mixed(response.at(response.degrees, typical), correlation)
        target = log_gain + float(response.second(np.asarray(target)))
    last = log_q[:, :examples]
    arriving = response.backward(last)  # of a unit cotangent behind the last activation
    along = arriving + np.interp(last, response.log_q, response.radial) - np.log(width)
    backward = _log_mean(_returned(gradients, arriving, along)) - _log_mean(arriving)
    return Travel(np.stack(path, axis=1), np.array(ideal), backward)


@dataclass(frozen=True)
class _Step:
    """The random factors of one layer.

    Spreads are taken where each example is; how much of them is common, where the typical one is.
    """

    response: Response
    log_q: Array
    typical: Array
    correlation: Array
    width: int
    rng: np.random.Generator

    def forward(self) -> Array:
        """Σφ(z)²/n about its mean."""
        spread = self._at(self.response.spread_forward)
        common = self._common(self.response.common_forward)
        return self._factors(spread * common, spread * (1 - common))

    def backward(self, ahead: Array) -> Array:
        """Σ φ′(z)² (Wᵀδ)²/n about its mean, tied to ``ahead`` by the units they have in common.

        The cotangents of different examples are unlike, so that Wᵀδ is each example's own.
        """
        spread, forward = (
            self._at(self.response.spread_slope),
            self._at(self.response.spread_forward),
        )
        common = self._common(self.response.common_slope)
        tie = self._at(self.response.tie)
        free = np.maximum(spread - tie**2 * forward, 0.0)
        return tie * ahead + self._factors(free * common, free * (1 - common) + 2 * (1 + spread))

    def _at(self, table: Array) -> Array:
        return np.interp(self.log_q, self.response.log_q, table)

    def _common(self, table: Array) -> Array:
        shares = mixed(self.response.at(table, self.typical), self.correlation, self.width)
        return shares[:, None]

    def _factors(self, common: Array, own: Array) -> Array:
        together = _scatter(common / self.width, self.rng, (self.log_q.shape[0], 1))
        return together + _scatter(own / self.width, self.rng)


def _returned(gradients: list[tuple[Array, Array]], arriving: Array, along: Array) -> Array:
    """Log of the squared gradient at the first layer, for each example.

    One direction of the n is not like the others: ``along`` z itself a gradient passes a layer
    times (q′/q)·slope², because there all units change together, and only n v E[φ′²] of it
    scatters as that of any other direction does. Above a q-slope of 1 that direction takes over,
    though only about 1/n of the ``arriving`` gradient lies in it. None of the rest ever turns into
    it: what is at right angles to W φ(z) ahead is at right angles to φ(z) behind, since
    (Wᵀδ)·φ = δ·(Wφ).
    """
    isotropic = arriving
    for any_way, radial in reversed(gradients):
        isotropic = any_way + np.logaddexp(isotropic, along)
        along = along + radial
    return np.asarray(np.logaddexp(isotropic, along))


def _scatter(
    variance: Array, rng: np.random.Generator, shape: tuple[int, ...] | None = None
) -> Array:
    """Logs of random factors of mean 1 and the given relative variance.

    ``shape`` is that of the random numbers, where several factors share one.
    """
    log_variance = np.log1p(variance)
    drawn = rng.standard_normal(shape or variance.shape)
    return np.asarray(drawn * np.sqrt(log_variance) - log_variance / 2)


def _log_mean(log_values: Array) -> Array:
    """Log of the mean over examples."""
    peak = log_values.max(axis=1, keepdims=True)
    return np.asarray(peak[:, 0] + np.log(np.exp(log_values - peak).mean(axis=1)))
