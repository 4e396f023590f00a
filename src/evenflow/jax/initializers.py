"""Initialisers of signature (key, shape, dtype), as ``jax.nn.initializers`` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from evenflow.jax.callables import activation_from_jax, is_jaxs
from evenflow.jax.draw import draw, dtype_name
from evenflow.jax.keys import key_words
from evenflow.jax.placing import placed
from evenflow.jax.words import Words
from evenflow.planning.distributions import Simple
from evenflow.planning.layout import Axes, Layout, Shape
from evenflow.planning.weight_rule import WeightRule
from evenflow.sampling.contract import Dtype
from evenflow.theory.activations import Activation


def initializer(
    scheme: str | Simple,
    *,
    gain: float = 1.0,
    activation: str | Activation | Callable[[Any], Any] | None = None,
    depth: int | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Return an initialiser for Flax, Equinox or plain JAX; the values follow the key it is given.

    Args:
        scheme: a name (``"he_normal"``, ``"auto"``, ``"orthogonal"``, … see ``evenflow.schemes``),
            or a distribution, which needs no fans.
        gain: factor on the values.
        activation: before the weight: a name, or a JAX or NumPy callable. For ``"auto"``, which
            makes up for its gains; without one, as behind a linear layer.
        depth: layers of that activation in a row, which sets where its gains are taken; without it
            q = 1, as behind a normalisation.
        in_axis, out_axis, batch_axis: summed over, produced, and side by side, as in
            ``jax.nn.initializers.variance_scaling``; all other axes are taps. Flax and Keras have
            (*taps, in, out), the default; Equinox and PyTorch (out, in, *taps): 1 and 0.
        dtype: where the call names none; JAX's default float if None.

    The same key gives the same weight in every layout, its axes in the layout's order: it is drawn
    as (out, in, *taps).

    Raises:
        InputError: an unknown scheme, or arguments that do not go together.
    """
    if callable(activation) and not isinstance(activation, Activation) and is_jaxs(activation):
        activation = activation_from_jax(activation)
    layout = Layout(in_axis, out_axis, batch_axis)
    return Initializer(WeightRule(scheme, gain, activation, depth, layout), dtype)


@dataclass(frozen=True)
class Initializer:
    """An initialiser of one rule; ``initializer`` makes them."""

    rule: WeightRule
    dtype: Any = None

    def __call__(
        self, key: jax.Array, shape: Any, dtype: Any = None, out_sharding: Any = None
    ) -> jax.Array:
        """Return an array of ``shape``, whose values follow ``key``, laid out by ``out_sharding``.

        Raises:
            InputError: a shape without the axes that the scheme needs, or a dtype that cannot be
                filled.
        """
        chosen = dtype_name(dtype or self.dtype or jnp.result_type(float))
        make = placed(_make, out_sharding, ("rule", "shape", "dtype"))
        return make(key_words(key), rule=self.rule, shape=tuple(shape), dtype=chosen)


def _make(words: Words, *, rule: WeightRule, shape: Shape, dtype: Dtype) -> jax.Array:
    drawn = draw(rule.distribution(shape), rule.drawn_shape(shape), dtype, lambda _: words)
    made: jax.Array = rule.hand_over(drawn, shape)
    return made
