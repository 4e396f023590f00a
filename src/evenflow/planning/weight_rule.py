"""A scheme for weights that come without a graph: fans by named axes, gains by the caller's word.

What initialisers of JAX and Keras share: they are told a shape, and nothing of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evenflow.errors import InputError
from evenflow.planning.distributions import Constant, Simple
from evenflow.planning.layout import Layout, Shape
from evenflow.planning.scaling import scaled
from evenflow.planning.schemes import Site, may_use_gains, scheme
from evenflow.theory.activations import Activation
from evenflow.theory.gain import as_activation, gain


@dataclass(frozen=True)
class WeightRule:
    """From a shape to a distribution, and to the shape that the weight is drawn in."""

    scheme: str | Simple
    """A scheme's name, or a distribution, which needs no fans."""
    gain: float = 1.0
    """Factor on the values."""
    activation: str | Activation | Callable[[Any], Any] | None = None
    """Before the weight; a name or a NumPy callable, for schemes that make up for its gains."""
    depth: int | None = None
    """Layers of that activation in a row, which sets its operating point; None: q = 1, as behind a
    normalisation."""
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        if isinstance(self.scheme, str):
            scheme(self.scheme)  # refuses an unknown name
            if self.activation is not None and not may_use_gains(self.scheme):
                raise InputError(
                    f"the scheme {self.scheme} knows no activations",
                    remedy='use "auto", or pass gain= (1/√E_f of the activation, say)',
                )
        elif self.activation is not None:
            raise InputError(
                f"{self.scheme} is fixed, whatever the activation", remedy='use the scheme "auto"'
            )
        if self.depth is not None and (self.activation is None or self.depth < 1):
            raise InputError("depth counts the layers of an activation: at least 1, and say which")

    def distribution(self, shape: Shape) -> Simple:
        """What a weight of ``shape`` is drawn from.

        Raises:
            InputError: a scheme that needs fans, and a shape without the axes of the layout.
        """
        if not isinstance(self.scheme, str):
            return scaled(self.scheme, self.gain)
        fan_in, fan_out = self.layout.fans(shape)
        if 0 in shape:
            return Constant(0.0)
        drawn = self.layout.drawn_shape(shape)
        taps = len(drawn) > 2 and self.layout.batch_axis == ()
        forward, backward = self._gains(fan_in)
        site = Site("conv" if taps else "linear", fan_in, fan_out, drawn, forward, backward)
        return scaled(scheme(self.scheme)(site), self.gain)

    def drawn_shape(self, shape: Shape) -> Shape:
        """The shape that the weight is drawn in; a vector is no weight, and keeps its own."""
        return self.layout.drawn_shape(shape) if self._has_layout(shape) else shape

    def hand_over(self, drawn: Any, shape: Shape) -> Any:
        """An array of ``drawn_shape(shape)`` as one of ``shape``."""
        return self.layout.hand_over(drawn, shape) if self._has_layout(shape) else drawn

    def _has_layout(self, shape: Shape) -> bool:
        return isinstance(self.scheme, str) or len(shape) > 1

    def _gains(self, width: int) -> tuple[float, float]:
        """E_f and E_b of the activation at its operating point; 1 for none."""
        if self.activation is None:
            return 1.0, 1.0
        activation, q = as_activation(self.activation), 1.0
        if self.depth is not None:
            from evenflow.planning.operating_point import operating_point  # imports SciPy

            q = operating_point(activation, self.depth, width).q
        at = gain(activation, q)
        return at.forward, at.backward
