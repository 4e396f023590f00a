"""Names, keys and scales."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenflow.errors import InputError
from evenflow.planning.distributions import Normal, TruncatedNormal, Uniform
from evenflow.sampling.contract import bfloat16_bits, canonical_name, key, recipe
from evenflow.sampling.quantile import magnitude


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("layers.0.weight", "layers.0.weight"),
        ("weight", "weight"),
        ("module.layers.0.weight", "layers.0.weight"),
        ("module.module.weight", "weight"),
        ("_orig_mod.layers.0.weight", "layers.0.weight"),
        ("module._orig_mod.layers.0._orig_mod.weight", "layers.0.weight"),
        ("_fsdp_wrapped_module.block._fsdp_wrapped_module.weight", "block.weight"),
        ("block._checkpoint_wrapped_module.weight", "block.weight"),
        ("base_model.model.h.0.attn.base_layer.weight", "h.0.attn.weight"),
        ("base_model.model.head.original_module.bias", "head.bias"),
        ("module.base_model.model.h.weight", "h.weight"),
        ("head.parametrizations.weight.original", "head.weight"),
        ("head.parametrizations.weight.original0", "head.parametrizations.weight.original0"),
        ("base_model.model.h.0.lora_A.default.weight", "h.0.lora_A.default.weight"),
        ("submodule.weight", "submodule.weight"),
        ("base_model.embeddings.weight", "base_model.embeddings.weight"),
        ("module", "module"),
    ],
)
def test_wrappers_do_not_change_a_name(name: str, bare: str) -> None:
    assert canonical_name(name) == bare
    assert canonical_name(bare) == bare


def test_key_follows_seed_and_canonical_name() -> None:
    assert key(0, "module.head.weight") == key(0, "head.weight")
    others = [key(1, "head.weight"), key(0, "head.bias"), key(2**64 - 1, "head.weight")]
    assert len({key(0, "head.weight"), *others}) == 4
    assert all(0 <= word < 2**32 for word in key(0, "head.weight"))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_seed_must_be_a_64_bit_integer(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        key(seed, "weight")  # type: ignore[arg-type]


def test_scales_are_the_distribution_times_a_power_of_two() -> None:
    assert recipe(Uniform(0.1), "float32", "w").scale == float(np.float32(0.1)) * 2.0**-24
    assert recipe(Normal(0.02), "bfloat16", "w").scale == float(np.float32(0.02)) * 2.0**-21
    assert recipe(Normal(0.02), "float64", "w").scale == 0.02 * 2.0**-50
    assert recipe(Uniform(0.1), "float64", "w").scale == 0.1 * 2.0**-53


@given(st.floats(2.0**-6, 10.0))
def test_truncation_lets_through_every_tail_within_the_cut_and_no_other(cut: float) -> None:
    low = recipe(TruncatedNormal(1.0, cut), "float32", "w").low
    limit = math.floor(min(cut, 8.0) * 2**21)
    assert low % 2 == 1
    assert magnitude(np.array([low], np.uint32))[0] <= limit
    if low > 1:
        assert magnitude(np.array([low - 2], np.uint32))[0] > limit


@pytest.mark.parametrize(
    ("distribution", "dtype", "why"),
    [
        (Normal(1e-38), "float32", "smallest normal"),
        (Uniform(1e-310), "float64", "smallest normal"),
        (Normal(2e38), "float32", "overflow"),
        (Uniform(1e39), "bfloat16", "overflow"),
        (Normal(20_000.0), "float16", "overflow"),
        (TruncatedNormal(1.0, 0.001), "float32", "too narrow"),
    ],
)
def test_what_a_dtype_cannot_hold_is_refused(distribution: Normal, dtype: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        recipe(distribution, dtype, "w")  # type: ignore[arg-type]


def test_bfloat16_rounds_as_torch_does() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    ties = (np.arange(2**16, dtype=np.uint32) << np.uint32(16)) | np.uint32(0x8000)
    values = np.concatenate([bits, ties]).view(np.float32)
    values = values[np.isfinite(values)]
    theirs = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    assert (bfloat16_bits(values) == theirs).all()
