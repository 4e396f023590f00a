"""Compile a function so that its result lies where a sharding says, each device making its part."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax

Maker = Callable[..., jax.Array]


def placed(make: Maker, sharding: Any, static: tuple[str, ...]) -> Maker:
    """Return ``make`` compiled; ``static`` names the arguments that its code depends on.

    ``sharding`` is a Sharding, a PartitionSpec for the mesh that is set, or None for JAX's choice.
    """
    explicit = jax.sharding.get_abstract_mesh().explicit_axes if sharding is not None else ()
    return _placed(make, sharding, static, tuple(explicit))


@lru_cache(maxsize=256)
def _placed(
    make: Maker, sharding: Any, static: tuple[str, ...], explicit: tuple[str, ...]
) -> Maker:
    if sharding is None:
        return jax.jit(make, static_argnames=static)
    if not explicit:
        return jax.jit(make, static_argnames=static, out_shardings=sharding)

    def on_explicit_mesh(*operands: Any, **given: Any) -> jax.Array:
        """Under a mesh of explicit axes a sharding is part of the result's type."""
        whole = jax.sharding.auto_axes(partial(make, **given), out_sharding=sharding, axes=explicit)
        made: jax.Array = whole(*operands)
        return made

    return jax.jit(on_explicit_mesh, static_argnames=static)
