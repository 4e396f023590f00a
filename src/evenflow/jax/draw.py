"""Draw one tensor in JAX, under ``jit`` or not, on one device or sharded over many.

What is compiled depends on the shape, the dtype and the kind of distribution alone: keys and scales
are operands, so that the layers of a network share what was compiled for the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.jax.placing import placed
from evenflow.jax.values import values
from evenflow.jax.words import Words, element_numbers
from evenflow.planning.distributions import Constant, DeltaOrthogonal, Distribution, Orthogonal
from evenflow.sampling.arguments import Part, Shape, parts_of
from evenflow.sampling.contract import STORAGE, Dtype, Key, cast, recipe
from evenflow.sampling.elements import pitches_of
from evenflow.sampling.orthogonal import delta_orthogonal, orthogonal

KeyOf = Callable[[str], Words]
"""The two words of the Philox key of a parameter, or of an orthogonal block of one, by name."""


def draw(
    distribution: Distribution,
    shape: Shape,
    dtype: Dtype,
    key_of: KeyOf,
    *,
    name: str = "",
    sharding: Any = None,
) -> jax.Array:
    """Return a tensor of ``shape``, laid out by ``sharding`` if one is given.

    Element by element, each device makes its own part and nothing is communicated. An orthogonal
    matrix is made whole, on the host, in float64, as everywhere (docs/sampling.md), and then cut.

    Raises:
        InputError: ``distribution`` has no such values in ``dtype``, or of this shape.
    """
    if 0 in shape:
        return jnp.zeros(shape, dtype)
    full = shape or (1,)  # a single number is a vector of one
    parts = parts_of(distribution, full, name, dtype)
    slabs = tuple(_slab(part) for part in parts)
    numbers = tuple(_numbers(part, dtype, key_of) for part in parts)
    cut = any(slab.is_matrix for slab in slabs) and sharding is not None
    make = placed(_draw, None if cut else sharding, ("slabs", "full", "shape", "dtype"))
    made = make(numbers, slabs=slabs, full=full, shape=shape, dtype=dtype)
    return jax.device_put(made, sharding) if cut else made


def dtype_name(dtype: Any, where: str = "") -> Dtype:
    """Return the sampling contract's word for a dtype.

    Raises:
        InputError: one that cannot be filled, or float64 while JAX has it switched off.
    """
    name: Dtype = jnp.dtype(dtype).name
    if name not in STORAGE:
        raise InputError(
            f"an array of {name} cannot be filled",
            where=where,
            remedy=f"use one of {', '.join(STORAGE)}",
        )
    if name == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise InputError(
            "JAX has float64 switched off",
            where=where,
            remedy='switch it on first (jax.config.update("jax_enable_x64", True)), or use float32',
        )
    return name


class _Slab(NamedTuple):
    """What has to be known of a part when its code is compiled."""

    kind: str
    axis: int
    begin: int
    shape: Shape
    gain: float
    """Of an orthogonal matrix."""

    @property
    def is_matrix(self) -> bool:
        return self.kind in (Orthogonal.kind, DeltaOrthogonal.kind)


class _Numbers(NamedTuple):
    """What code once compiled is given."""

    key: Words
    low: NDArray[np.uint32]
    scale: NDArray[Any]


def _slab(part: Part) -> _Slab:
    matrix = isinstance(part.distribution, Orthogonal | DeltaOrthogonal)
    gain = part.distribution.gain if matrix else 1.0  # type: ignore[union-attr]
    return _Slab(part.distribution.kind, part.axis, part.begin, part.shape, gain)


def _numbers(part: Part, dtype: Dtype, key_of: KeyOf) -> _Numbers:
    distribution, low, scale = part.distribution, 0, 1.0
    if isinstance(distribution, Constant):
        scale = distribution.value
    elif not isinstance(distribution, Orthogonal | DeltaOrthogonal):
        _, low, scale = recipe(distribution, dtype, part.name)
    single = np.float64 if dtype == "float64" else np.float32
    return _Numbers(key_of(part.name), np.asarray(low, np.uint32), np.asarray(scale, single))


def _draw(
    numbers: tuple[_Numbers, ...],
    *,
    slabs: tuple[_Slab, ...],
    full: Shape,
    shape: Shape,
    dtype: Dtype,
) -> jax.Array:
    pairs = list(zip(slabs, numbers, strict=True))
    if any(slab.is_matrix for slab in slabs):
        made = [_block(slab, each, full, dtype) for slab, each in pairs]
        return jnp.concatenate(made, slabs[0].axis).reshape(shape)
    # Blocks are chosen from, not put together: so they need not end where a device's part does.
    place = lax.broadcasted_iota(jnp.int32, full, slabs[0].axis)
    whole = _elements(slabs[0], numbers[0], full, full, 0, dtype)
    for slab, each in pairs[1:]:
        whole = jnp.where(place < slab.begin, whole, _elements(slab, each, full, full, 0, dtype))
    return whole.reshape(shape)


def _block(slab: _Slab, numbers: _Numbers, full: Shape, dtype: Dtype) -> jax.Array:
    if slab.is_matrix:
        return _matrix(slab, numbers.key, dtype)
    start = slab.begin * pitches_of(full)[slab.axis]
    return _elements(slab, numbers, slab.shape, full, start, dtype)


def _elements(
    slab: _Slab, numbers: _Numbers, extent: Shape, full: Shape, start: int, dtype: Dtype
) -> jax.Array:
    """The box of ``extent`` that begins at element ``start`` of the full tensor."""
    scale = jnp.asarray(numbers.scale)
    if slab.kind == "constant":
        return jnp.full(extent, scale.astype(dtype))
    return values(
        element_numbers(extent, pitches_of(full), start),
        jnp.asarray(numbers.key),
        uniform=slab.kind == "uniform",
        low=jnp.asarray(numbers.low) if slab.kind == "truncated_normal" else None,
        scale=scale,
        dtype=dtype,
    )


def _matrix(slab: _Slab, key: Words, dtype: Dtype) -> jax.Array:
    """An orthogonal matrix by way of the host: the same QR, hence the same numbers, as NumPy's."""
    make = orthogonal if slab.kind == Orthogonal.kind else delta_orthogonal
    out: Any = jax.ShapeDtypeStruct(slab.shape, dtype)  # type: ignore[no-untyped-call]

    def on_host(words: Any) -> NDArray[Any]:
        low, high = (int(word) for word in np.asarray(words))
        return cast(slab.gain * make(slab.shape, Key(low, high)), dtype).view(out.dtype)

    made: jax.Array = jax.pure_callback(on_host, out, key, vmap_method="sequential")
    return made
