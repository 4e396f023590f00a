"""Gains of recurrent cells: how large input weights must be for a stack of them to stay level.

Near zero every gate stands at σ(0) = 1/2, and a cell is a filter of its candidate's pre-activation
z: h_t = k Σ_j 2^{−j} z_{t−j}, k = 1/4 for an LSTM (input and output gate) and 1/2 for a GRU. It
passes the second moment of white noise by k²/(1 − 1/4), and that of a signal that does not change
by (2k)². What a stack is given may be white; each layer makes it slower, so that neither alone
decides: input weights that keep white noise level let slow signals grow from layer to layer until
the gates saturate and gradients explode, those that keep slow signals level let all else die. The
gain is the geometric mean of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

_CARRIED = 0.5
"""What a gate at σ(0) keeps of the state."""


@dataclass(frozen=True)
class CellGain:
    """For n inputs and H units, weights of variance v and recurrent ones of variance 1/H."""

    entering: float
    """n·v of weights that read the state of a cell like it: what keeps a stack level."""
    recurrent: float
    """What the recurrent weights add to that: the candidate's share of H·(1/H) = 1."""
    white: float
    """What a layer of these weights makes of the second moment of white noise, near zero."""
    slow: float
    """The same of a signal that does not change; the gates' saturation then bounds it."""

    @property
    def passed(self) -> float:
        """Second moment of states over that of pre-activations: E_f and E_b of the whole cell."""
        return 1 / (self.entering + self.recurrent)


def _of_filter(k: float, recurrent: float) -> CellGain:
    white, slow = k**2 / (1 - _CARRIED**2), (k / (1 - _CARRIED)) ** 2
    for_white, for_slow = 1 / white - recurrent, 1 / slow - recurrent
    entering = math.sqrt(for_white * for_slow)
    return CellGain(entering, recurrent, entering / for_white, entering / for_slow)


CELL_GAINS: Mapping[str, CellGain] = {
    "lstm": _of_filter(k=1 / 4, recurrent=1.0),
    "gru": _of_filter(k=1 / 2, recurrent=1 / 4),  # its reset gate halves what is recurrent
}
"""By kind. A plain recurrent network has no gates to make up for."""
