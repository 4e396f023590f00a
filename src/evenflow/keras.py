"""evenflow for Keras 3, on any backend: a serialisable initialiser of all schemes (docs/keras.md).

Values are made in NumPy by the sampling contract and handed to the backend as they are.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import keras
import ml_dtypes
import msgspec

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import Simple
from evenflow.planning.layout import Axes, Layout
from evenflow.planning.store import fields_of, simple_from
from evenflow.planning.weight_rule import WeightRule
from evenflow.sampling import sample


@keras.saving.register_keras_serializable(package="evenflow")
class Initializer(keras.initializers.Initializer):  # type: ignore[misc]  # Keras has no types
    """Draws a weight by a scheme or from a distribution; the values follow (seed, name) alone.

    Args:
        scheme: a name (``"he_normal"``, ``"auto"``, ``"orthogonal"``, … see ``evenflow.schemes``),
            a distribution, which needs no fans, or the fields of one, as ``get_config`` has them.
        seed: from 0 to 2⁶⁴ − 1; drawn once from Python's ``random`` if None, which
            ``keras.utils.set_random_seed`` sets.
        name: of the variable. Two variables of one seed, name and shape get the same values.
        gain: factor on the values.
        activation: before the weight, a name of the catalogue. For ``"auto"``, which
            makes up for its gains; without one, as behind a linear layer.
        depth: layers of that activation in a row, which sets where its gains are taken; without it
            q = 1, as behind a normalisation.
        in_axis, out_axis, batch_axis: summed over, produced, and side by side; all other axes are
            taps. The default, (*taps, in, out), fits Dense and Conv kernels.

    The same seed and name give the same weight in every layout, its axes in the layout's order: it
    is drawn as (out, in, *taps), so that a Dense kernel is the transpose of the PyTorch weight.

    Raises:
        InputError: an unknown scheme, or arguments that do not go together.
    """

    def __init__(
        self,
        scheme: str | Simple | Mapping[str, Any],
        seed: int | None = None,
        name: str = "",
        *,
        gain: float = 1.0,
        activation: str | None = None,
        depth: int | None = None,
        in_axis: Axes = -2,
        out_axis: Axes = -1,
        batch_axis: Axes = (),
    ) -> None:
        layout = Layout(in_axis, out_axis, batch_axis)
        self._rule = WeightRule(_scheme(scheme), gain, activation, depth, layout)
        self._given_seed = seed
        self.seed = random.getrandbits(63) if seed is None else seed
        self.name = name

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return a tensor of the backend; the same at each call.

        Raises:
            InputError: a shape without the axes that the scheme needs, a dtype that cannot be
                filled, or a seed out of range.
        """
        shape, kind = tuple(shape), keras.backend.standardize_dtype(dtype)
        drawn = sample(
            self._rule.distribution(shape),
            self._rule.drawn_shape(shape),
            seed=self.seed,
            name=self.name,
            dtype=kind,
        )
        if kind == "bfloat16":
            drawn = drawn.view(ml_dtypes.bfloat16)
        return keras.ops.convert_to_tensor(self._rule.hand_over(drawn, shape), dtype=kind)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this initialiser, in JSON's own types."""
        rule, layout = self._rule, self._rule.layout
        return {
            "scheme": rule.scheme if isinstance(rule.scheme, str) else fields_of(rule.scheme),
            "seed": self._given_seed,
            "name": self.name,
            "gain": rule.gain,
            "activation": rule.activation,
            "depth": rule.depth,
            "in_axis": layout.in_axis,
            "out_axis": layout.out_axis,
            "batch_axis": layout.batch_axis,
        }


def _scheme(scheme: str | Simple | Mapping[str, Any]) -> str | Simple:
    if not isinstance(scheme, Mapping):
        return scheme
    try:
        return simple_from("scheme", dict(scheme))
    except (msgspec.ValidationError, PlanError) as error:
        raise InputError(f"these are no distribution's fields: {error}", where="scheme") from error
