"""The checks of test_sharding.py, each of which prints its name where it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import evenflow.jax as efj
from evenflow.jax.draw import draw
from evenflow.jax.keys import words_of
from evenflow.planning.distributions import (
    Blocks,
    Distribution,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.sampling import sample

AUTO = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
EXPLICIT = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Explicit,))
SPECS = (P("a", "b"), P(("b", "a")), P(None, "a"), P("b"))
SHAPE = (64, 48)
PACKED = Blocks(0, (24, 40), (Normal(0.1), Uniform(0.2)))  # ends within a device's part
ELEMENTWISE: tuple[Distribution, ...] = (Uniform(0.1), Normal(0.02), TruncatedNormal(0.02))


def drawn(distribution: Distribution, sharding: NamedSharding | None) -> jax.Array:
    return draw(
        distribution, SHAPE, "float32", lambda part: words_of(3, part), name="w", sharding=sharding
    )


def same_as_numpy(array: jax.Array, distribution: Distribution) -> None:
    ours = sample(distribution, SHAPE, seed=3, name="w")
    assert np.asarray(array).tobytes() == ours.tobytes(), distribution


def meshes() -> None:
    for spec, distribution in zip(SPECS, (*ELEMENTWISE, Orthogonal(2.0)), strict=True):
        array = drawn(distribution, NamedSharding(AUTO, spec))
        assert array.sharding == NamedSharding(AUTO, spec)
        same_as_numpy(array, distribution)


def packed() -> None:
    for distribution in (PACKED, Blocks(0, (32, 32), (Orthogonal(1.0), Orthogonal(2.0)))):
        for spec in SPECS[1:3]:
            same_as_numpy(drawn(distribution, NamedSharding(AUTO, spec)), distribution)


def communication() -> None:
    for distribution in (*ELEMENTWISE, PACKED):
        whole = jax.jit(
            partial(drawn, distribution, None), out_shardings=NamedSharding(AUTO, P("a", "b"))
        )
        program = whole.lower().compile().as_text()
        assert "f32[16,24]" in program  # a device's part
        assert "64,48]" not in program
        assert not re.search("all-gather|all-reduce|all-to-all|collective-permute", program)
        same_as_numpy(whole(), distribution)


def initializers() -> None:
    init = efj.initializer(Normal(0.02), in_axis=1, out_axis=0)
    key = efj.key(3, "w")
    for mesh, spec in ((AUTO, P("a", "b")), (EXPLICIT, P("x"))):
        same_as_numpy(init(key, SHAPE, jnp.float32, NamedSharding(mesh, spec)), Normal(0.02))
        with jax.set_mesh(mesh):
            inside = jax.jit(lambda key, spec=spec: init(key, SHAPE, jnp.float32, spec))(key)
        assert inside.sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)
        same_as_numpy(inside, Normal(0.02))


def trees() -> None:
    plan = Plan("x", {"w": Entry(SHAPE, Normal(0.02), "")})
    sharding = NamedSharding(AUTO, P("b", "a"))
    abstract = {"w": jax.ShapeDtypeStruct(SHAPE, jnp.float32, sharding=sharding)}
    filled = efj.fill(plan, abstract, 3)["w"]
    assert filled.sharding == sharding
    same_as_numpy(filled, Normal(0.02))
    plain = {"w": jax.ShapeDtypeStruct(SHAPE, jnp.float32)}
    inside = jax.jit(lambda: efj.fill(plan, plain, 3), out_shardings=sharding)()["w"]
    assert inside.sharding == sharding
    same_as_numpy(inside, Normal(0.02))


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([*ELEMENTWISE, Orthogonal(1.0)]),
    st.sampled_from(["float32", "float16", "bfloat16"]),
    st.lists(st.sampled_from([8, 16, 24]), min_size=2, max_size=3).map(tuple),
    st.permutations(["a", "b", None]),
    st.integers(0, 2**64 - 1),
)
def any_tensor(
    distribution: Distribution, dtype: str, shape: tuple[int, ...], axes: list[str], seed: int
) -> None:
    sharding = NamedSharding(AUTO, P(*axes[: len(shape)]))
    plan = Plan("x", {"w": Entry(shape, distribution, "")})
    leaf = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
    filled = np.asarray(efj.fill(plan, {"w": leaf}, seed)["w"])
    ours = sample(distribution, shape, seed=seed, name="w", dtype=dtype)  # type: ignore[arg-type]
    assert filled.tobytes() == ours.tobytes()


CHECKS: tuple[Callable[[], None], ...] = (
    meshes,
    packed,
    communication,
    initializers,
    trees,
    any_tensor,
)

if __name__ == "__main__":
    assert jax.device_count() == 8
    for check in CHECKS:
        check()
        print(f"{check.__name__}: held", flush=True)
