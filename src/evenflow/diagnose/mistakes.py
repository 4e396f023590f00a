"""Mistakes of initialisation: which one a weight's second moment looks like.

A weight of n inputs and n′ outputs behind an activation of gains E_f and E_b should have
E[w²] = 1/(n E_f), 1/(n′ E_b), or between: 2/(n E_f + n′ E_b). Classic mistakes multiply that by
factors of their own, so that the measured moment gives them away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evenflow.record.record import WeightRecord

_NEAR = 1.6
"""Factor around any of the right values within which a weight is left alone."""
_FAR = 10.0
"""The same for a weight of so few elements that its mistake cannot be told."""
_SHARP = 0.15
"""Relative tolerance up to which one mistake can be told from the next."""
_OLD_HEURISTIC = "the old heuristic U(±1/√n), PyTorch's default"
_FIXED = "a fixed standard deviation"
_CUSTOMS = (_OLD_HEURISTIC, _FIXED)
_ROUND = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)


@dataclass(frozen=True)
class Misfit:
    """A weight whose scale no scheme asks for."""

    weight: WeightRecord
    asked: float
    """E[w²] between what the two directions ask for."""
    looks_like: str
    """The mistake, in words; "" for none that is known."""
    customary: bool = False
    """Whether many sound networks are initialised so: it counts where it does harm."""

    @property
    def factor(self) -> float:
        """Measured second moment over what is asked for."""
        return self.weight.values.second_moment / self.asked


def misfits(weights: Sequence[WeightRecord]) -> list[Misfit]:
    """What is wrong with the weights' scales, for those that no scheme would give them.

    All must have fans above 0 and a second moment above 0. A weight of few elements is only said
    to show a mistake that a larger one shows too.
    """
    looks = {weight.name: _looks(weight) for weight in weights}
    certain = {
        words
        for weight in weights
        if _tolerance(weight) < _SHARP
        for words in looks[weight.name][:1]
    }
    found = []
    for weight in weights:
        fans = Fans.of(weight)
        words = next((words for words in looks[weight.name] if words in certain), "")
        near = _NEAR if words or _tolerance(weight) < _SHARP else _FAR
        ratios = [weight.values.second_moment / right for right in fans.right()]
        orthogonal = weight.values.second_moment / fans.orthogonal
        fits = any(1 / near < ratio < near for ratio in ratios)
        if not fits and not any(abs(orthogonal / g - 1) < 1e-3 for g in fans.scales):
            found.append(Misfit(weight, fans.asked, words, words.startswith(_CUSTOMS)))
    return found


def _looks(weight: WeightRecord) -> list[str]:
    """The mistakes that would give the weight its second moment, the likeliest first."""
    return [
        words
        for second, words in _mistakes(Fans.of(weight), weight.kurtosis)
        if abs(weight.values.second_moment / second - 1) < _tolerance(weight)
    ]


def _tolerance(weight: WeightRecord) -> float:
    """Four standard errors √((kurtosis − 1)/N) of a second moment, as a part of itself."""
    spread = max(weight.kurtosis - 1, 0.5) if math.isfinite(weight.kurtosis) else 2.0
    return max(4 * math.sqrt(spread / weight.values.count), 0.01)


@dataclass(frozen=True)
class Fans:
    """A weight's true fans and gains, and those that a reader of its shape alone would take."""

    n_in: float
    n_out: float
    forward: float
    """E_f, 1 where nothing is known of what comes before."""
    backward: float
    shape: tuple[int, ...]

    @classmethod
    def of(cls, weight: WeightRecord) -> Fans:
        """Fans of a recorded weight."""
        known = weight.gain_forward > 0 and weight.gain_backward > 0
        gains = (weight.gain_forward, weight.gain_backward) if known else (1.0, 1.0)
        return cls(weight.fan_in, weight.fan_out or weight.fan_in, *gains, weight.shape)

    @property
    def asked(self) -> float:
        """2/(n E_f + n′ E_b)."""
        return 2 / (self.n_in * self.forward + self.n_out * self.backward)

    @property
    def gain(self) -> float:
        """What schemes multiply 1/n by, for an activation that halves second moments or so.

        1 where forward and backward gains differ, as for bounded activations at a large q.
        """
        halves = self.forward < 0.51 and abs(self.forward / self.backward - 1) < 0.1
        return 1 / self.forward if halves else 1.0

    @property
    def scales(self) -> tuple[float, ...]:
        """Factors on 1/n that a scheme may have been meant to have, the likelier first.

        Before the first weight there is no activation; ReLU's factor 2 is customary there too.
        """
        return tuple(dict.fromkeys((self.gain, 1.0, 2.0 if self.forward == 1 else 1.0)))

    @property
    def taps(self) -> int:
        """Taps of a convolution, 1 for a matrix."""
        return math.prod(self.shape[2:])

    @property
    def orthogonal(self) -> float:
        """E[w²] of an orthogonal matrix, exact where random draws only come near."""
        return 1 / max(self.shape[0], math.prod(self.shape[1:]))

    def right(self) -> Iterator[float]:
        """Second moments that one scheme or another gives a weight like this on purpose."""
        meant = {1 / self.forward, *(self.scales if self.gain == 1 else (self.gain,))}
        if self.gain == 1:
            meant.add(25 / 9)  # the customary gain of tanh, 5/3, squared
        yield self.asked
        for scale in meant:
            yield from (scale / self.n_in, 2 * scale / (self.n_in + self.n_out))


def _mistakes(fans: Fans, kurtosis: float) -> Iterator[tuple[float, str]]:
    """Second moments of known mistakes, the likelier first, and what to call them."""
    n, out, gain = fans.n_in, fans.n_out, fans.gain
    naive_in, naive_out = math.prod(fans.shape[1:]), fans.shape[0] * fans.taps
    yield 1 / (3 * n), f"{_OLD_HEURISTIC}: a third of 1/fan-in"
    if gain > 1:
        yield 1 / n, "1/fan-in without the activation's gain"
        yield 2 / (n + out), "Glorot's scheme without the activation's gain"
    for scale in fans.scales:
        yield scale / out, "fan-out in the place of fan-in, or a weight stored on its other axis"
    if (naive_in, naive_out) not in ((n, out), (out, n)):
        yield 1 / (3 * naive_in), f"{_OLD_HEURISTIC}, with fans read off the weight's shape"
        for scale in fans.scales:
            yield scale / naive_in, "fans read off the weight's shape"
            yield 2 * scale / (naive_in + naive_out), "fans read off the weight's shape"
    yield 1 / (3 * out), f"{_OLD_HEURISTIC}, on the weight's other axis"
    if fans.taps > 1:
        channels, words = fans.shape[1], "fans without the receptive field: channels alone"
        for scale in fans.scales:
            yield scale / channels, words
            yield 2 * scale / (channels + fans.shape[0]), words
    for scale in fans.scales:
        if scale > 1:
            yield scale**2 / n, "the activation's gain applied twice"
            yield 2 * scale**2 / (n + out), "the activation's gain applied twice"
    yield from _confusions(fans, kurtosis)
    for sigma in _ROUND:
        yield sigma**2, f"{_FIXED} of {sigma:g}, whatever the fans"


def _confusions(fans: Fans, kurtosis: float) -> Iterator[tuple[float, str]]:
    """A right variance put in the place of something else."""
    for scale in fans.scales:
        for right in (scale / fans.n_in, 2 * scale / (fans.n_in + fans.n_out)):
            if kurtosis > 2.7:
                yield 3 * right, "a uniform distribution's bound used as a standard deviation"
            if kurtosis < 2.1:
                yield right / 3, "a standard deviation used as a uniform distribution's bound"
            yield right**2, "a variance used as a standard deviation"
            yield math.sqrt(right), "a standard deviation used as a variance"
