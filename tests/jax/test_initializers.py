"""Initialisers as Flax, Equinox and plain JAX call them."""

from __future__ import annotations

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given
from hypothesis import strategies as st
from jax._src.nn.initializers import _compute_fans  # the peer of our fans; JAX does not export it

import evenflow.jax as efj
from evenflow.errors import InputError
from evenflow.jax.keys import key_words
from evenflow.planning.distributions import Normal
from evenflow.planning.layout import Layout
from evenflow.sampling import sample

KEY = jax.random.key(3)


@given(st.permutations(range(5)), st.integers(0, 2), st.integers(0, 2))
def test_fans_by_named_axes_are_jaxs(order: list[int], ins: int, outs: int) -> None:
    shape = (2, 3, 5, 7, 11)
    into, out, batch = order[:ins], order[ins : ins + outs], order[ins + outs :][:1]
    ours = Layout(into, out, batch).fans(shape)
    assert ours == pytest.approx(_compute_fans(shape, into, out, batch))


@pytest.mark.parametrize(
    "scheme",
    ["glorot_uniform", "he_truncated", "auto", "orthogonal"],
)
def test_values_follow_the_key(scheme: str) -> None:
    init = efj.initializer(scheme)
    again = efj.initializer(scheme)
    first = init(KEY, (40, 30))
    assert isinstance(init, jax.nn.initializers.Initializer)
    assert first.dtype == jnp.float32
    assert (first == again(KEY, (40, 30))).all()
    assert (first == jax.jit(lambda key: init(key, (40, 30)))(KEY)).all()
    other = init(jax.random.key(4), (40, 30))
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.15


def test_the_variance_is_the_schemes() -> None:
    drawn = efj.initializer("he_normal")(KEY, (5, 5, 40, 80))
    assert float(jnp.var(drawn)) == pytest.approx(2 / 1000, rel=0.02)
    relu_before = efj.initializer("auto", activation=jax.nn.relu)(KEY, (400, 400))
    assert float(jnp.var(relu_before)) == pytest.approx(2 / 400, rel=0.02)


@pytest.mark.parametrize("scheme", ["glorot_normal", "orthogonal"])
def test_layouts_hold_the_same_weight(scheme: str) -> None:
    flax = efj.initializer(scheme)(KEY, (3, 3, 8, 6))
    torchs = efj.initializer(scheme, in_axis=1, out_axis=0)(KEY, (6, 8, 3, 3))
    assert (flax == jnp.moveaxis(torchs, (0, 1), (3, 2))).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_a_key_of_seed_and_name_gives_a_parameters_values(dtype: jnp.dtype) -> None:
    key = efj.key(7, "module.h.0.weight")
    drawn = np.asarray(efj.initializer(Normal(0.02))(key, (10, 24), dtype))
    name = jnp.dtype(dtype).name
    ours = sample(Normal(0.02), (24, 10), seed=7, name="h.0.weight", dtype=name)
    assert drawn.dtype.name == name
    assert drawn.T.tobytes() == ours.tobytes()


def test_one_key_a_layer_by_vmap() -> None:
    keys = jax.random.split(KEY, 3)
    for scheme in ("glorot_uniform", "orthogonal"):
        init = efj.initializer(scheme)
        stacked = jax.vmap(lambda key, init=init: init(key, (6, 4)))(keys)
        for key, layer in zip(keys, stacked, strict=True):
            assert (layer == init(key, (6, 4))).all()


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_of_every_generator_differ(kind: str) -> None:
    keys = jax.random.split(jax.random.key(0, impl=kind), 20)
    assert len({tuple(key_words(key).tolist()) for key in keys}) == 20


def test_old_keys_are_as_good_as_new_ones() -> None:
    init = efj.initializer("he_normal")
    assert (init(jax.random.PRNGKey(3), (4, 4)) == init(KEY, (4, 4))).all()


def test_orthogonal_matrices_are_orthogonal() -> None:
    drawn = efj.initializer("orthogonal", gain=2.0)(KEY, (30, 20))
    np.testing.assert_allclose(drawn.T @ drawn, 4 * np.eye(20), atol=1e-5)


def test_flax_takes_them() -> None:
    init = efj.initializer("he_normal", dtype=jnp.bfloat16)
    layer = nnx.Linear(64, 32, kernel_init=init, rngs=nnx.Rngs(0))
    assert float(jnp.std(layer.kernel[...])) == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    conv = linen.Conv(32, (3, 3), kernel_init=init)
    kernel = conv.init(KEY, jnp.ones((1, 8, 8, 16)))["params"]["kernel"]
    assert float(jnp.std(kernel)) == pytest.approx((2 / 144) ** 0.5, rel=0.1)


def test_equinox_takes_them() -> None:
    layer = equinox.nn.Linear(64, 32, key=KEY)
    init = efj.initializer("he_normal", in_axis=1, out_axis=0)
    layer = equinox.tree_at(lambda it: it.weight, layer, init(KEY, layer.weight.shape))
    assert float(jnp.std(layer.weight)) == pytest.approx((2 / 64) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [(jnp.int32, "cannot be filled"), (jnp.complex64, "cannot be filled"), ("float64", "float64")],
)
def test_dtypes_that_cannot_be_filled(dtype: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        efj.initializer("he_normal")(KEY, (4, 4), dtype)


def test_a_vector_has_no_fans() -> None:
    with pytest.raises(InputError, match="no axis"):
        efj.initializer("he_normal")(KEY, (4,))


def test_float64_where_jax_has_it() -> None:
    with jax.enable_x64(True):
        drawn = efj.initializer(Normal(1.0))(efj.key(7, "w"), (9, 5), "float64")
        assert drawn.dtype == jnp.float64
        ours = sample(Normal(1.0), (5, 9), seed=7, name="w", dtype="float64")
        assert np.asarray(drawn).T.tobytes() == ours.tobytes()
