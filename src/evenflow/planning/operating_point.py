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
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from evenflow.planning.response import Response, response
from evenflow.planning.stack import Travel, mean_field, simulate
from evenflow.theory.activations import Activation

Interval = tuple[float, float]

_DRAWS = 96
_EXAMPLES = 256
_HELD = 512
_UNSTABLE = 1.001
"""A q-slope above this amplifies fluctuations; at exactly 1 (ReLU) they only add up."""
_BEARABLE = 6.0
"""A price above this, in either direction, is warned of: softsign, the dearest of the activations
that still train at depth 30, pays 5.5."""

_NOTABLE = 1.2
"""Factor between draws of the weights from which on they are told apart."""


@dataclass(frozen=True)
class OperatingPoint:
    """The q at which gains are taken, and the price over a stack of ``depth`` layers.

    Ratios are medians over draws of the weights, intervals hold 5 to 95 % of them, all for means
    over a batch of 256 independent examples.
    """

    activation: str
    depth: int
    width: int
    q: float
    forward: float
    """Second moment of pre-activations, last layer over first."""
    forward_interval: Interval
    backward: float
    """Squared gradient norm, first layer over last."""
    backward_interval: Interval
    beside_plan: Interval
    """Second moment at the last layer over mean field's: on fresh examples if calibrated."""
    slope: float
    """q-slope, geometric mean over the layers: above 1, depth amplifies fluctuations."""
    calibrated: bool

    @property
    def price(self) -> float:
        """The larger of the two ratios, each taken as at least 1."""
        return max(self.forward, 1 / self.forward, self.backward, 1 / self.backward)

    @property
    def unstable(self) -> bool:
        """Whether depth amplifies fluctuations."""
        return self.slope > _UNSTABLE

    def notes(self) -> tuple[str, ...]:
        """The price in a sentence, and what the user should know before using this activation."""
        found = [
            f"{self.activation}: gains taken at q = {self.q:.3g}; over {self.depth} layers of "
            f"width {self.width} the second moment goes ×{self.forward:.3g} forwards "
            f"({_said(self.forward_interval)}), ×{self.backward:.3g} backwards "
            f"({_said(self.backward_interval)})"
        ]
        if self.price > _BEARABLE:
            found.append(
                f"{self.activation} has no operating point where both passes stay level over "
                f"{self.depth} layers (price ×{self.price:.3g}): normalise between layers, use "
                "residual branches, or choose a centred activation such as tanh"
            )
        low, high = self.beside_plan if self.calibrated else self.forward_interval
        if self.unstable and high > _NOTABLE * low:
            found.append(self._uncertainty())
        return tuple(found)

    def _uncertainty(self) -> str:
        head = f"{self.activation}'s q-slope is {self.slope:.3g} > 1: depth amplifies fluctuations"
        if self.calibrated:
            low, high = self.beside_plan
            return (
                f"{head}, which leaves the last layer at {low:.2g} to {high:.2g} times the plan's "
                "second moment on fresh noise, in spite of the calibration (5–95 % of draws)"
            )
        low, high = self.forward_interval
        return (
            f"{head}, and at width {self.width} draws of the weights differ by ×{high / low:.2g} "
            'in what they do; calibrate="noise" takes out what is common to all inputs'
        )


def _said(interval: Interval) -> str:
    return f"5–95 % of draws: {interval[0]:.2g} to {interval[1]:.2g}"


@lru_cache(maxsize=256)
def operating_point(
    activation: Activation, depth: int, width: int, calibrated: bool = False
) -> OperatingPoint:
    """The q that minimises the dearer direction over ``depth`` layers of ``width`` units.

    Mean field decides where fluctuations die out or are calibrated away; where they grow (a
    q-slope above 1), simulated draws do, by the mean of their |log ratio|.
    """
    table = response(activation)
    depth = max(depth, 2)
    log_q = _mean_field_optimum(table, depth)
    if not calibrated and _slope(table, log_q, depth) > _UNSTABLE:
        log_q = _least(
            lambda log_q: _expected_price(_travel(table, log_q, depth, width, 24, 64)),
            (log_q - 0.3, log_q + 0.9),
        )
    examples, held = (64, _HELD) if calibrated else (_EXAMPLES, 0)
    travel = _travel(table, log_q, depth, width, _DRAWS // (2 if held else 1), examples, held)
    forward = travel.forward[:, -1] - travel.forward[:, 0]
    return OperatingPoint(
        activation.name,
        depth,
        width,
        q=float(np.exp(log_q)),
        forward=float(np.exp(np.median(forward))),
        forward_interval=_interval(forward),
        backward=float(np.exp(np.median(travel.backward))),
        backward_interval=_interval(travel.backward),
        beside_plan=_interval(travel.forward[:, -1] - travel.ideal[-1]),
        slope=_slope(table, log_q, depth),
        calibrated=calibrated,
    )


def _slope(table: Response, log_q: float, depth: int) -> float:
    """Geometric mean of the q-slopes that mean field meets on its way."""
    log_gain, at, total = _log_gain(table, log_q), 0.0, 0.0
    for _ in range(depth):
        total += float(np.log(np.abs(table.slope(np.asarray(at))) + 1e-12))
        at = log_gain + float(table.second(np.asarray(at)))
    return float(np.exp(total / depth))


def _travel(
    table: Response,
    log_q: float,
    depth: int,
    width: int,
    draws: int,
    examples: int,
    held: int = 0,
) -> Travel:
    return simulate(
        table,
        _log_gain(table, log_q),
        depth,
        width,
        draws=draws,
        examples=examples,
        held=held,
        rng=np.random.default_rng(0),
    )


def _expected_price(travel: Travel) -> float:
    """Mean over draws of the dearer direction's |log ratio|: a gamble between two ends is dear."""
    forward = np.abs(travel.forward[:, -1] - travel.forward[:, 0])
    return float(np.maximum(forward, np.abs(travel.backward)).mean())


def _interval(logs: npt.NDArray[np.float64]) -> Interval:
    low, high = np.exp(np.quantile(logs, [0.05, 0.95]))
    return float(low), float(high)


def _log_gain(table: Response, log_q: float) -> float:
    """log(n v) = log 2/(E_f + E_b) at ``log_q``, for n_in = n_out."""
    at = np.asarray(log_q)
    forward, backward = np.exp(table.second(at) - at), np.exp(table.backward(at))
    return float(np.log(2 / (forward + backward)))


def _mean_field_optimum(table: Response, depth: int) -> float:
    """The log q at which the larger |log ratio| is least at infinite width."""

    def price(log_q: float) -> float:
        return max(abs(ratio) for ratio in mean_field(table, _log_gain(table, log_q), depth))

    grid = np.linspace(np.log(1e-2), np.log(10.0), 40)
    prices = [price(q) for q in grid]
    best = int(np.argmin(prices))
    if max(prices) - min(prices) < 1e-3:  # a homogeneous activation: every point is the same
        return 0.0
    return _least(price, (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]))


def _least(price: Callable[[float], float], bounds: Interval) -> float:
    found = minimize_scalar(price, bounds=bounds, method="bounded", options={"maxiter": 12})
    return float(found.x)
