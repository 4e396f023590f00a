"""evenflow for JAX: initialisers, and pytrees filled from a plan (docs/jax.md).

The bits are those of NumPy and PyTorch, under ``jax.jit`` and on any sharding.
"""

from evenflow.jax.fill import fill
from evenflow.jax.initializers import Initializer, initializer
from evenflow.jax.keys import key

__all__ = ["Initializer", "fill", "initializer", "key"]
