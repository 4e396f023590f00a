"""A small checkpoint with everything that a checkpoint can hold."""

import numpy as np

from evenflow.checkpoint.layout import Drawn, Item
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)

SEED = 7


def drawn(key, shape, distribution, dtype="bfloat16", code="BF16"):
    return Item(key, shape, code, Drawn(distribution, dtype, key))


def items():
    """Eleven tensors, of 1.1 MB together."""
    return [
        drawn("embed", (4000, 64), Normal(0.02)),
        drawn("a.weight", (300, 129), TruncatedNormal(0.05)),
        drawn("a.bias", (300,), Constant(0.0)),
        Item("steps", (), "I64", np.int64(3).tobytes()),
        drawn("wide", (61, 7), Uniform(1.0), "float64", "F64"),
        drawn("square", (96, 96), Orthogonal(1.5)),
        drawn(
            "packed", (96, 32), Blocks(0, (32, 32, 32), (Normal(1.0), Orthogonal(), Uniform(1.0)))
        ),
        drawn("conv", (8, 8, 3, 3), DeltaOrthogonal(), "float32", "F32"),
        drawn("scale", (), Normal(1.0), "float32", "F32"),
        drawn("empty", (0, 4), Normal(1.0)),
        drawn("head", (4000, 64), Normal(0.02), "float16", "F16"),
    ]
