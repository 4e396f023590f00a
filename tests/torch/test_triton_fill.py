"""The Triton kernel by Triton's interpreter, by its compiler, and on a GPU if there is one.

The compiler needs no GPU either: what it emits shows that no device can contract anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is made for Linux alone")

from evenflow.planning.distributions import (  # noqa: E402
    Blocks,
    Constant,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling import Dtype, sample  # noqa: E402
from evenflow.torch import triton_fill  # noqa: E402
from evenflow.torch.apply import as_array, write  # noqa: E402

WORKER = Path(__file__).with_name("triton_worker.py")
CHECKS = ("tensors", "boxes", "strided", "constants", "any_box")
DTYPES: dict[Dtype, str] = {
    "float32": "fp32",
    "float64": "fp64",
    "float16": "fp16",
    "bfloat16": "i16",
}


@pytest.fixture(scope="module")
def printed() -> str:
    """What the checks print where Triton interprets, which it has to know before it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(WORKER)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("check", CHECKS)
def test_by_the_interpreter(check: str, printed: str) -> None:
    assert f"{check}: held" in printed.splitlines()


@pytest.mark.parametrize("kind", ["uniform", "normal", "truncated"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_code_converts_multiplies_and_rounds_once(dtype: Dtype, kind: str) -> None:
    arguments = {
        "out": f"*{DTYPES[dtype]}",
        "knots": "*i32",
        **dict.fromkeys(("blocks", "start", "columns", "pitch"), "i64"),
        "key": "u64",
        **dict.fromkeys(("low", "scale"), "i64"),
        **dict.fromkeys(("uniform", "truncated", "groups"), "constexpr"),
    }
    known = {"uniform": kind == "uniform", "truncated": kind == "truncated", "groups": 16}
    source = triton.compiler.ASTSource(triton_fill._fill, arguments, known)
    target = triton.backends.compiler.GPUTarget("cuda", 80, 32)
    compiled = triton.compile(source, target=target, options={"enable_fp_fusion": False})
    floats = set(re.findall(r"\b((?:\w+\.)+f(?:16|32|64)(?:\.\w+)*) ", compiled.asm["ptx"]))
    allowed = {
        "float64": {"cvt.rn.f64.s64", "cvt.rn.f64.u64", "mul.rn.f64"},
        "float16": {"cvt.rn.f16.f32"},
    }.get(dtype, set()) | {"cvt.rn.f32.f64", "cvt.rn.f32.s32", "cvt.rn.f32.u32", "mul.rn.f32"}
    assert floats <= allowed
    assert {"mul.rn.f64", "mul.rn.f32"} & floats


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "distribution",
    [
        Uniform(0.5),
        Normal(0.02),
        TruncatedNormal(0.02),
        Blocks(0, (1000, 24), (Normal(1.0), Constant(2.0))),
    ],
    ids=str,
)
def test_on_a_gpu(distribution: Distribution, dtype: Dtype) -> None:
    shape = (1024, 3001)
    tensor = torch.empty(shape, dtype=getattr(torch, dtype), device="cuda")
    write(tensor, distribution, 7, "w")
    expected = sample(distribution, shape, seed=7, name="w", dtype=dtype)
    assert as_array(tensor.cpu()).tobytes() == expected.tobytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_more_rows_and_columns_than_a_grid_has_on_one_axis() -> None:
    for shape, box in (((100_000, 300), (100_000, 7)), ((3, 2**26), (2, 2**26))):
        tensor = torch.empty(box, device="cuda")
        given = {"seed": 7, "name": "w", "shape": shape}
        triton_fill.fill(tensor, Uniform(1.0), **given, start=(0, 0))
        window = (slice(0, box[0]), slice(0, box[1]))
        expected = sample(Uniform(1.0), shape, seed=7, name="w", window=window)
        assert np.array_equal(tensor.cpu().numpy(), expected)
