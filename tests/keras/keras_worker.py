"""The checks of test_initializer.py; each prints its name where it holds."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import InputError
from evenflow.keras import Initializer
from evenflow.planning.distributions import Constant, Normal, Orthogonal, TruncatedNormal, Uniform
from evenflow.planning.weight_rule import WeightRule
from evenflow.sampling import Dtype, sample

DTYPES: list[Dtype] = ["float32", "float16", "bfloat16"]


def array(tensor: object) -> np.ndarray:
    return np.ascontiguousarray(keras.ops.convert_to_numpy(tensor))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([Uniform(0.1), Normal(0.02), TruncatedNormal(1.0), Constant(0.3)]),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 9), max_size=1).map(tuple),
    st.integers(0, 2**64 - 1),
)
def bits(distribution: Normal, dtype: Dtype, shape: tuple[int, ...], seed: int) -> None:
    made = Initializer(distribution, seed, "w")(shape, dtype)
    assert keras.backend.standardize_dtype(made.dtype) == dtype
    expected = sample(distribution, shape, seed=seed, name="w", dtype=dtype)
    assert array(made).tobytes() == expected.tobytes()


def layouts() -> None:
    for scheme in ("glorot_normal", "orthogonal"):
        convolution = array(Initializer(scheme, 7, "w")((3, 3, 8, 6)))
        torchs = array(Initializer(scheme, 7, "w", in_axis=1, out_axis=0)((6, 8, 3, 3)))
        assert (convolution == np.moveaxis(torchs, (0, 1), (3, 2))).all()
    dense = array(Initializer("he_normal", 7, "w")((24, 10)))
    expected = sample(Normal(math.sqrt(2 / 24)), (10, 24), seed=7, name="w")
    assert (expected == dense.T).all()


def layers() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 16)),
            keras.layers.Conv2D(32, 3, kernel_initializer=Initializer("he_normal", 1, "a")),
            keras.layers.Flatten(),
            keras.layers.Dense(64, kernel_initializer=Initializer("orthogonal", 1, "b")),
            keras.layers.Dense(
                64, kernel_initializer=Initializer("auto", 1, "c", activation="tanh", depth=3)
            ),
        ]
    )
    convolution, _, wide, square = (layer.weights for layer in model.layers)
    assert array(convolution[0]).std() == pytest.approx(math.sqrt(2 / 144), rel=0.05)
    matrix = array(wide[0])
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(64), atol=1e-5)
    rule = WeightRule("auto", activation="tanh", depth=3)
    assert array(square[0]).std() == pytest.approx(rule.distribution((64, 64)).std, rel=0.05)


def saved() -> None:
    model = keras.Sequential([keras.Input((3,))])
    initializers = [
        Initializer("he_truncated", 1, "a", gain=2.0, in_axis=[0], out_axis=1),
        Initializer(Orthogonal(2.0), 2**64 - 1, "b"),
        Initializer("auto", 3, "c", activation="gelu", depth=8),
    ]
    for each in initializers:
        model.add(keras.layers.Dense(4, kernel_initializer=each))
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.saving.load_model(Path(folder) / "model.keras")
    for each, layer in zip(initializers, loaded.layers, strict=True):
        again = layer.kernel_initializer
        assert again.get_config() == each.get_config()
        assert (array(again((5, 4))) == array(each((5, 4)))).all()
        assert each.clone().get_config() == each.get_config()


def seeds() -> None:
    init = Initializer("he_normal", 3, "w")
    assert (array(init((9, 9))) == array(init((9, 9)))).all()
    for other in (Initializer("he_normal", 4, "w"), Initializer("he_normal", 3, "v")):
        assert (array(init((9, 9))) != array(other((9, 9)))).any()
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        drawn.append([array(Initializer("he_normal")((9, 9))) for _ in range(2)])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(*drawn[0])


def refusals() -> None:
    for arguments, message in (
        ({"scheme": "xavier"}, "no scheme"),
        ({"scheme": {"kind": "cauchy"}}, "no distribution"),
        ({"scheme": {"kind": "normal", "std": "wide"}}, "no distribution"),
        ({"scheme": "he_normal", "activation": "relu"}, "knows no activations"),
    ):
        with pytest.raises(InputError, match=message):
            Initializer(**arguments)  # type: ignore[arg-type]
    for seed, shape, dtype, message in (
        (-1, (3, 3), "float32", "seed"),
        (0, (3,), "float32", "no axis"),
        (0, (3, 3), "int32", "dtype must be"),
    ):
        with pytest.raises(InputError, match=message):
            Initializer("he_normal", seed)(shape, dtype)


def page() -> None:
    text = (Path(__file__).parents[2] / "docs" / "keras.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, "keras.md", "exec"), names)
    head = names["model"].layers[-1].kernel  # type: ignore[attr-defined]
    assert (sample(Normal(0.01), (10, 64), seed=0, name="head") == array(head).T).all()


CHECKS: tuple[Callable[[], None], ...] = (bits, layouts, layers, saved, seeds, refusals, page)

if __name__ == "__main__":
    for check in CHECKS:
        check()
        print(f"{check.__name__}: held", flush=True)
