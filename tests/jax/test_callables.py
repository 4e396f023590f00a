"""JAX activations: the same gains as the catalogue's, by JAX's own derivative, in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evenflow as ef
from evenflow.errors import ActivationError
from evenflow.jax.callables import is_jaxs


@pytest.mark.parametrize(
    ("function", "name"), [(jnp.tanh, "tanh"), (jax.nn.silu, "silu"), (jax.nn.relu, "relu")]
)
def test_gains_are_the_catalogues(function: object, name: str) -> None:
    ours, known = ef.gain(function), ef.gain(name)  # type: ignore[arg-type]
    assert ours.forward == pytest.approx(known.forward, rel=1e-12)
    assert ours.backward == pytest.approx(known.backward, rel=1e-12)


def test_what_is_no_activation_is_refused() -> None:
    with pytest.raises(ActivationError, match="depends on the others"):
        ef.gain(jax.nn.softmax)


def test_other_callables_are_left_to_others() -> None:
    assert is_jaxs(jnp.sin)
    assert not is_jaxs(np.sin)
    assert not is_jaxs(lambda z: z * np.tanh(z))
    assert ef.gain(lambda z: z * np.tanh(z)).forward == pytest.approx(0.7578898667, rel=1e-8)
    assert not is_jaxs(lambda _: 1 / 0)
