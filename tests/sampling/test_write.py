"""``fill`` and ``sample`` as they are called: parts of tensors, packed weights, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.errors import InputError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling import fill, sample

PACKED = Blocks(0, (4, 4, 8), (Normal(1.0), Orthogonal(2.0), Constant(0.5)))
EVERY: list[Distribution] = [
    Uniform(1.0),
    Normal(1.0),
    TruncatedNormal(1.0),
    Constant(0.25),
    Orthogonal(),
    DeltaOrthogonal(),
    PACKED,
    Blocks(1, (2, 1), (Uniform(1.0), Orthogonal())),
    Blocks(2, (1, 4), (Constant(), Normal(1.0))),
]
SHAPE = (16, 3, 5)


def whole(distribution: Distribution) -> np.ndarray:
    return sample(distribution, SHAPE, seed=5, name="w")


@settings(deadline=None)
@given(st.sampled_from(EVERY), st.data())
def test_a_box_is_that_part_of_the_whole(distribution: Distribution, data: st.DataObject) -> None:
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in SHAPE]
    window = tuple(slice(low, high) for low, high in ends)
    part = sample(distribution, SHAPE, seed=5, name="w", window=window)
    assert (part == whole(distribution)[window]).all()
    assert part.shape == whole(distribution)[window].shape


@settings(deadline=None)
@given(st.sampled_from(EVERY), st.integers(0, 240), st.integers(0, 240))
def test_a_range_is_that_part_of_the_whole(distribution: Distribution, a: int, b: int) -> None:
    window = (min(a, b), max(a, b))
    part = sample(distribution, SHAPE, seed=5, name="w", window=window)
    assert (part == whole(distribution).reshape(-1)[slice(*window)]).all()


@pytest.mark.parametrize("distribution", EVERY, ids=str)
def test_filling_in_parts_is_filling_at_once(distribution: Distribution) -> None:
    out = np.full(SHAPE, np.nan, np.float32)
    for start in range(0, 16, 3):
        fill(
            out[start : start + 3],
            distribution,
            seed=5,
            name="w",
            shape=SHAPE,
            start=(start, 0, 0),
        )
    assert (out == whole(distribution)).all()
    by_range = np.full((240,), np.nan, np.float32)
    for start in (0, 100, 101):
        part = by_range[start : {0: 100, 100: 101, 101: 240}[start]]
        fill(part, distribution, seed=5, name="w", shape=SHAPE, start=start)
    assert (by_range == out.reshape(-1)).all()


def test_open_and_negative_slices() -> None:
    part = sample(
        Normal(1.0), SHAPE, seed=5, name="w", window=(slice(-2, None), slice(1), slice(9))
    )
    assert (part == whole(Normal(1.0))[-2:, :1, :9]).all()


def test_a_block_keeps_the_words_of_the_whole_tensor() -> None:
    packed = sample(Blocks(0, (6, 10), (Normal(1.0), Normal(2.0))), SHAPE, seed=5, name="w")
    assert (packed[:6] == whole(Normal(1.0))[:6]).all()
    assert (packed[6:] == whole(Normal(2.0))[6:]).all()


def test_an_orthogonal_block_is_a_tensor_of_its_own_name() -> None:
    own = sample(Orthogonal(2.0), (4, 3, 5), seed=5, name="w#1")
    assert (whole(PACKED)[4:8] == own).all()
    gram = own.reshape(4, 15) @ own.reshape(4, 15).T
    assert gram == pytest.approx(4 * np.eye(4), abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_constants_and_widths_of_zero(dtype: Any) -> None:
    half = sample(Constant(0.5), (3,), seed=0, name="w", dtype=dtype)
    assert (half == (0x3F00 if dtype == "bfloat16" else 0.5)).all()
    for nothing in (Uniform(0.0), Normal(0.0), TruncatedNormal(0.0), Constant()):
        zeros = sample(nothing, (3,), seed=0, name="w", dtype=dtype)
        assert zeros.tobytes() == bytes(zeros.nbytes)


def test_scalars_and_empty_tensors() -> None:
    assert sample(Normal(1.0), (), seed=0, name="w").shape == ()
    assert sample(Normal(1.0), (), seed=0, name="w") == sample(Normal(1.0), (1,), seed=0, name="w")
    assert sample(Normal(1.0), (0, 7), seed=0, name="w").shape == (0, 7)
    assert sample(Orthogonal(), (0, 7), seed=0, name="w").shape == (0, 7)


def test_wrapped_names_give_the_same_values() -> None:
    wrapped = sample(PACKED, SHAPE, seed=5, name="_orig_mod.parametrizations.w.original")
    assert (wrapped == whole(PACKED)).all()


def test_no_global_random_state_is_read_or_moved() -> None:
    before = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    first = whole(Normal(1.0))
    after = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    assert after["pos"] == before["pos"]
    assert (after["key"] == before["key"]).all()
    np.random.seed(1)  # noqa: NPY002
    assert (whole(Normal(1.0)) == first).all()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
        ({"start": 200}, "does not lie within"),
        ({"start": -1}, "does not lie within"),
        ({"start": (0, 0)}, "does not lie within"),
        ({"start": (1, 0, 0)}, "does not lie within"),
        ({"shape": (16, 3, 4)}, "does not lie within"),
        ({"dtype": "bfloat16"}, "cannot hold"),
        ({"dtype": "int8"}, "cannot hold"),
        ({"distribution": Blocks(0, (4, 4), (Normal(1.0), Normal(1.0)))}, "do not make up"),
        ({"distribution": Blocks(3, (4,), (Normal(1.0),))}, "do not make up"),
        ({"distribution": Blocks(0, (8, 8), (Normal(1.0), Normal(1e-40)))}, "smallest normal"),
        ({"distribution": Blocks(0, (8, 8), (Normal(1.0), Constant(1e39)))}, "overflows"),
    ],
)
def test_bad_input_changes_nothing(arguments: dict[str, Any], why: str) -> None:
    out = np.zeros(SHAPE, np.float32)
    call: dict[str, Any] = {"distribution": Normal(1.0), "seed": 5, "name": "h.w"} | arguments
    with pytest.raises(InputError, match=why) as error:
        fill(out, **call)
    assert "h.w" in str(error.value)
    assert not out.any()


@pytest.mark.parametrize("distribution", [Orthogonal(), DeltaOrthogonal()], ids=str)
def test_a_vector_is_never_orthogonal(distribution: Distribution) -> None:
    with pytest.raises(InputError, match="no meaning for the shape"):
        sample(distribution, (3,), seed=0, name="w")


@pytest.mark.parametrize(
    "out",
    [
        np.zeros(SHAPE, np.uint16),
        np.zeros(SHAPE, np.int64),
        np.zeros(SHAPE, np.dtype(np.float32).newbyteorder()),
        np.broadcast_to(np.float32(0), SHAPE),
        [0.0],
    ],
    ids=["uint16 without dtype", "int64", "other byte order", "read-only", "list"],
)
def test_targets_that_cannot_be_filled(out: Any) -> None:
    with pytest.raises(InputError, match=r"cannot hold|can be written to"):
        fill(out, Normal(1.0), seed=0, name="w")


@pytest.mark.parametrize(
    "window",
    [
        (slice(0, 1),),
        (slice(0, 4, 2), slice(None), slice(None)),
        (3, 2),
        (-1, 2),
        (0, 241),
        (0, 1, 2),
        (slice(0, 1), 0, 0),
    ],
)
def test_windows_that_do_not_fit(window: Any) -> None:
    with pytest.raises(InputError, match=r"window|does not lie within"):
        sample(Normal(1.0), SHAPE, seed=0, name="w", window=window)


def test_unknown_dtypes_are_refused() -> None:
    with pytest.raises(InputError, match="float16"):
        sample(Normal(1.0), SHAPE, seed=0, name="w", dtype="int8")  # type: ignore[arg-type]
