"""Golden values: the weights that seeds stand for, which no change may move.

Where these tests fail, published weights have changed. If that is meant, raise
``evenflow.sampling.contract.VERSION`` and write the values anew:
``python tests/sampling/test_golden.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling import VERSION, sample
from evenflow.sampling.contract import Dtype, key, recipe
from evenflow.sampling.reference import values

FILE = Path(__file__).with_name("golden.json")
LAWS = {
    "uniform": Uniform(0.05),
    "normal": Normal(0.02),
    "truncated": TruncatedNormal(0.02),
    "truncated at 1": TruncatedNormal(0.5, 1.0),
}
DTYPES: tuple[Dtype, ...] = ("float32", "float64", "float16", "bfloat16")
NAMES = ("weight", "transformer.h.0.attn.c_attn.weight", "größe")
SEEDS = (0, 1, 2**64 - 1)
INDICES = np.array([0, 1, 31, 32, 127, 128, 4096, 10**6, 2**34 - 1, 2**34, 2**40 + 3], np.uint64)
WINDOW = (2**34 - 5, 2**34 + 5)


def current() -> dict[str, object]:
    """Return every golden value as it is now, as the hexadecimal of its bytes, little-endian."""
    return {
        "version": VERSION,
        "keys": {
            name: {
                str(seed): f"{key(seed, name).low:08x} {key(seed, name).high:08x}" for seed in SEEDS
            }
            for name in NAMES
        },
        "values": {
            f"{law} {dtype}": hexadecimal(
                values(INDICES, recipe(LAWS[law], dtype, "w"), key(1, NAMES[1]), dtype)
            )
            for law in LAWS
            for dtype in DTYPES
        },
        "kernels": {
            f"{law} {dtype}": hexadecimal(through_kernels(LAWS[law], dtype))
            for law in LAWS
            for dtype in DTYPES
        },
    }


def through_kernels(law: Uniform | Normal | TruncatedNormal, dtype: Dtype) -> np.ndarray:
    return sample(law, (2**35,), seed=1, name=f"module.{NAMES[1]}", dtype=dtype, window=WINDOW)


def hexadecimal(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return " ".join(value.tobytes().hex() for value in little)


@pytest.mark.parametrize("what", ["version", "keys", "values", "kernels"])
def test_nothing_has_moved(what: str) -> None:
    assert current()[what] == json.loads(FILE.read_text())[what]


if __name__ == "__main__":
    FILE.write_text(json.dumps(current(), indent=1, ensure_ascii=False) + "\n")
