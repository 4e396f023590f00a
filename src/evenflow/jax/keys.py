"""Keys: JAX's random keys as keys of the sampling contract, and the other way round."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from evenflow.jax.words import U32, Words, philox
from evenflow.sampling import contract


def key(seed: int, name: str) -> jax.Array:
    """Return the JAX key under which an initialiser gives parameter ``name`` of ``seed``.

    The values are then those of ``evenflow.sample`` and of a plan that is applied to a PyTorch
    model. ``seed`` runs from 0 to 2⁶⁴ − 1; wrappers' additions to ``name`` do not count.
    """
    words = jnp.asarray(words_of(seed, name))
    random_key: jax.Array = jax.random.wrap_key_data(words, impl="threefry2x32")
    return random_key


def words_of(seed: int, name: str) -> Words:
    """Return the two words of the Philox key of a parameter."""
    return np.array(contract.key(seed, name), np.uint32)  # type: ignore[return-value]


def key_words(random_key: jax.Array) -> Words:
    """Return the Philox key that a JAX key stands for, whichever generator it was made for.

    Two words of key data, as threefry has them, are the key. Four, as of the ``rbg`` generators,
    of which two may repeat the others, are mixed: two of them are a key, under which the others are
    the counter.
    """
    data = jax.random.key_data(random_key).astype(U32)
    if data.shape[-1] == 2:
        return data
    padded = jnp.concatenate([data, jnp.zeros(4, U32)])[:4]
    zero = jnp.zeros((), U32)
    return jnp.stack(philox((padded[2], padded[3], zero, zero), padded[:2])[:2])
