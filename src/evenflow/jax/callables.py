"""JAX activations as the theory's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from evenflow.theory.activations import Activation, from_callable

Array = npt.NDArray[np.float64]


def is_jaxs(function: Callable[..., Any]) -> bool:
    """Whether JAX can trace a callable, as it can those of ``jax.nn``, and none that uses NumPy."""
    try:
        jax.eval_shape(function, jax.ShapeDtypeStruct((3,), jnp.float32))  # type: ignore[no-untyped-call]
    except Exception:  # whatever a callable that was not made for JAX does
        return False
    return True


@lru_cache(maxsize=64)
def activation_from_jax(function: Callable[..., Any]) -> Activation:
    """A JAX callable as an Activation, evaluated in float64, its derivative by ``jax.grad``."""
    slope = jax.vmap(jax.grad(lambda z: function(z[None])[0]))
    name = str(getattr(function, "__name__", type(function).__name__))
    return from_callable(_in_float64(function), _in_float64(slope), name=name)


def _in_float64(function: Callable[[jax.Array], jax.Array]) -> Callable[[Array], Array]:
    """The function of NumPy arrays, compiled for few sizes: the theory asks for many."""
    compiled = jax.jit(function)

    def evaluate(z: Array) -> Array:
        padded = np.zeros(max(256, 1 << (z.size - 1).bit_length()))
        padded[: z.size] = z.reshape(-1)
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):  # also while a caller is traced
            return np.asarray(compiled(padded))[: z.size].reshape(z.shape)

    return evaluate
