"""The operating point: where a stack of one activation stays level both ways as far as it can.

Gains depend on the second moment q of the pre-activations, and under Glorot's compromise a deep
stack drifts to where E_f(q) is the mean of E_f and E_b: taking the gains there, and not at q = 1,
is what keeps the gradients of 30 tanh layers within a factor 3.5 instead of 51.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize_scalar

from evenflow.plan.response import Response, response
from evenflow.plan.stack import Travel, mean_field, simulate
from evenflow.theory.activations import Activation

_DRAWS = 100
_EXAMPLES = 256
_UNSTABLE = 1.001
"""A q-slope above this amplifies fluctuations; at exactly 1 (ReLU) they only add up."""
_BEARABLE = 6.0
"""A price above this, in either direction, is warned of: softsign, the dearest of the activations
that still train at depth 30, pays 5.5."""


@dataclass(frozen=True)
class OperatingPoint:
    """The q at which gains are taken, and the price over a stack of ``depth`` layers."""

    activation: str
    depth: int
    width: int
    q: float
    forward: float
    """Second moment of pre-activations, last layer over first: median over draws of weights."""
    forward_interval: tuple[float, float]
    """5 to 95 % of draws."""
    backward: float
    """Squared gradient norm, first layer over last: median."""
    backward_interval: tuple[float, float]
    slope: float
    """q-slope where the stack ends: above 1, every fluctuation is amplified by depth."""

    @property
    def price(self) -> float:
        """The larger of the two ratios, each taken as at least 1."""
        return max(_ratio(self.forward), _ratio(self.backward))

    def said(self) -> str:
        """The price in a sentence."""
        f, b = self.forward_interval, self.backward_interval
        return (
            f"{self.activation}: gains taken at q = {self.q:.3g}; over {self.depth} layers of "
            f"width {self.width} the second moment goes ×{self.forward:.3g} forwards "
            f"(5–95 % of draws: {f[0]:.2g} to {f[1]:.2g}), ×{self.backward:.3g} backwards "
            f"({b[0]:.2g} to {b[1]:.2g})"
        )

    def warnings(self) -> list[str]:
        """What the user should know before using this activation at this depth."""
        found = []
        if self.price > _BEARABLE:
            found.append(
                f"{self.activation} has no operating point where both passes stay level over "
                f"{self.depth} layers (price ×{self.price:.3g}): normalise between layers, use "
                "residual branches, or choose a centred activation such as tanh"
            )
        spread = self.forward_interval[1] / max(self.forward_interval[0], 1e-300)
        if self.slope > _UNSTABLE and spread > 4:
            found.append(
                f"{self.activation}'s q-slope is {self.slope:.3g} > 1: at width {self.width} the "
                f"outcome is uncertain by ×{spread:.2g} between draws; "
                'calibrate="noise" takes out the part that is common to all inputs'
            )
        return found


def _ratio(value: float) -> float:
    return max(value, 1 / value)


@lru_cache(maxsize=256)
def operating_point(activation: Activation, depth: int, width: int) -> OperatingPoint:
    """The q that minimises the dearer direction over ``depth`` layers of ``width`` units.

    Mean field decides where fluctuations die out; where they grow (a q-slope above 1), simulated
    draws do, by the mean of their |log ratio|. The price printed is always that of simulated draws, for the mean
    over a batch of 64 independent examples (see ``stack.simulate``).
    """
    table = response(activation)
    depth = max(depth, 2)

    log_q = _mean_field_optimum(table, depth)
    end, _ = mean_field(table, _log_gain(table, log_q), depth)
    if table.slope(np.asarray(end)) > _UNSTABLE:
        log_q = _least(
            lambda log_q: _expected_price(_travel(table, log_q, depth, width, 24, 64)),
            (log_q - 0.3, log_q + 0.9),
        )
        end, _ = mean_field(table, _log_gain(table, log_q), depth)
    travel = _travel(table, log_q, depth, width)
    forward, backward = (float(np.exp(m)) for m in _medians(travel))
    return OperatingPoint(
        activation.name,
        depth,
        width,
        q=float(np.exp(log_q)),
        forward=forward,
        forward_interval=_interval(travel.forward[:, -1] - travel.forward[:, 0]),
        backward=backward,
        backward_interval=_interval(travel.backward),
        slope=float(table.slope(np.asarray(end))),
    )


def _travel(
    table: Response,
    log_q: float,
    depth: int,
    width: int,
    draws: int = _DRAWS,
    examples: int = _EXAMPLES,
) -> Travel:
    return simulate(
        table,
        _log_gain(table, log_q),
        depth,
        width,
        draws=draws,
        examples=examples,
        rng=np.random.default_rng(0),
    )


def _expected_price(travel: Travel) -> float:
    """Mean over draws of the dearer direction's |log ratio|: a gamble between two ends is dear."""
    forward = np.abs(travel.forward[:, -1] - travel.forward[:, 0])
    return float(np.maximum(forward, np.abs(travel.backward)).mean())


def _medians(travel: Travel) -> tuple[float, float]:
    """Logs of the (forward, backward) ratios: medians over draws."""
    forward = travel.forward[:, -1] - travel.forward[:, 0]
    return float(np.median(forward)), float(np.median(travel.backward))


def _interval(logs: np.ndarray) -> tuple[float, float]:  # type: ignore[type-arg]
    low, high = np.exp(np.quantile(logs, [0.05, 0.95]))
    return float(low), float(high)


def _log_gain(table: Response, log_q: float) -> float:
    """log(n v) = log 2/(E_f + E_b) at ``log_q``, for n_in = n_out."""
    at = np.asarray(log_q)
    forward, backward = np.exp(table.second(at) - at), np.exp(table.backward(at))
    return float(np.log(2 / (forward + backward)))


def _mean_field_optimum(table: Response, depth: int) -> float:
    """The log q at which the larger |log ratio| of the two directions is least at infinite width."""

    def price(log_q: float) -> float:
        return max(abs(ratio) for ratio in mean_field(table, _log_gain(table, log_q), depth))

    grid = np.linspace(np.log(1e-2), np.log(10.0), 40)
    prices = [price(q) for q in grid]
    best = int(np.argmin(prices))
    if max(prices) - min(prices) < 1e-3:  # a homogeneous activation: every point is the same
        return 0.0
    return _least(price, (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]))


def _least(price: Callable[[float], float], bounds: tuple[float, float]) -> float:
    found = minimize_scalar(price, bounds=bounds, method="bounded", options={"maxiter": 12})
    return float(found.x)
