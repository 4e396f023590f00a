"""The Run: what was recorded of a training, sample by sample, tensor by tensor.

Plain values and NumPy arrays, so that rules and reports need no framework. A Run is read from its
folder with ``record.run_reader.read``, during the training or after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evenflow.record.run_sums import CELLS, QUANTITIES

Series = NDArray[np.float64]


@dataclass(frozen=True)
class RunLayer:
    """One watched layer: a module without children, or an activation called as a function."""

    name: str
    """Qualified name of the module; "" for the model's own input."""
    op: str
    """What it is, in the framework's words: "Linear", "Tanh", "relu()" …"""
    activation: str = ""
    """Its name in the catalogue of activations, where it is one."""
    shape: tuple[int, ...] = ()
    """Of the first output seen, examples first."""
    dtype: str = "float32"
    weights: tuple[str, ...] = ()
    """Canonical names of the parameters that it holds itself."""
    expected: float | None = None
    """Second moment of its output at the start, where it was derived."""


@dataclass(frozen=True)
class RunWeight:
    """One watched parameter."""

    name: str
    """Canonical qualified name."""
    shape: tuple[int, ...]
    layer: str
    """Qualified name of the module that holds it."""
    trainable: bool
    """Whether it asks for a gradient."""
    optimised: bool
    """Whether it is in a group of the optimiser; True where no optimiser is known."""
    dtype: str = "float32"
    equal_rows: float = 0.0
    """Share of its rows (units, output channels) that equal another before the first step."""
    copy_of: str = ""
    """An earlier weight of the same values before the first step, "" for none."""
    uniform: bool = False
    """Whether its values were spread evenly before the first step, as initialisers draw them and
    no training leaves them; told of frozen ones alone."""


@dataclass(frozen=True)
class Event:
    """Something that happened at one step, and is kept whatever else is thinned out."""

    step: int
    kind: str
    """"nonfinite", "compiled", "verdict", "aside", "end" …"""
    place: str
    detail: str


@dataclass(frozen=True)
class Ending:
    """How the loss is made of the network's output, as far as its graph of gradients tells."""

    loss: str = ""
    """"nll_loss", "mse_loss", "binary_cross_entropy" …, "" where it is not known."""
    before: tuple[str, ...] = ()
    """Operations between the loss and the last weight, the last first: ("log_softmax", …)."""
    mean: bool = False
    """Whether the loss is the mean over examples and nothing besides: no sum, no further terms."""


@dataclass(frozen=True)
class Readings:
    """``QUANTITIES`` of some tensors at every sample, and histograms of them."""

    values: NDArray[np.float32]
    """Of shape (samples, tensors, quantities); NaN where nothing was measured."""
    cells: NDArray[np.uint16]
    """Counts of shape (samples, tensors, CELLS); all 0 where nothing was counted."""

    def __getitem__(self, quantity: str) -> Series:
        """One of ``QUANTITIES`` as an array of shape (samples, tensors)."""
        found: Series = self.values[:, :, QUANTITIES.index(quantity)].astype(np.float64)
        return found

    @classmethod
    def empty(cls, samples: int, tensors: int) -> Readings:
        """Readings of so many samples and tensors, with nothing measured."""
        values = np.full((samples, tensors, len(QUANTITIES)), np.nan, dtype=np.float32)
        return cls(values, np.zeros((samples, tensors, CELLS), dtype=np.uint16))


@dataclass(frozen=True)
class Run:
    """Everything that was recorded of one training, oldest first.

    Long trainings are thinned (``record.run_thinning``): steps are then further apart, and each
    sample is still of one step. ``forward`` and ``backward`` are of ``layers`` in their order of
    execution: outputs, and the loss's gradients with respect to them. ``gradients`` are of
    ``weights``, as the optimiser was given them, with what its step then did to the weights.
    """

    model: str
    every: int
    """Steps between two samples, before thinning."""
    layers: tuple[RunLayer, ...]
    weights: tuple[RunWeight, ...]
    steps: NDArray[np.int64]
    loss: Series
    """Mean over the steps since the sample before; NaN where none was given."""
    loss_low: Series
    """Least and greatest over the same steps."""
    loss_high: Series
    learning_rate: Series
    norm_before: Series
    """Norm of all gradients together before clipping …"""
    norm_after: Series
    """… and after; NaN where it is not known."""
    forward: Readings
    backward: Readings
    gradients: Readings
    events: tuple[Event, ...] = ()
    optimiser: str = ""
    """Class of the optimiser, "" where none was given."""
    ending: Ending = Ending()
    total_steps: int = 0
    """Steps made so far, sampled or not."""
    finished: bool = False
    """Whether the training ended by itself; False while it goes on, and after it was cut off."""
    versions: dict[str, str] = field(default_factory=dict)

    def happened(self, kind: str) -> tuple[Event, ...]:
        """The events of one kind."""
        return tuple(event for event in self.events if event.kind == kind)
