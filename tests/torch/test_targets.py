"""What a command works on: factories' results, shapes and files of arrays."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from evenflow.errors import InputError
from evenflow.torch.inputs import Call
from evenflow.torch.targets import (
    Target,
    from_factory,
    read_arrays,
    read_target,
    shape_of,
    with_inputs,
)

MODEL = torch.nn.Linear(3, 2)
X, Y = torch.ones(5, 3), torch.zeros(5, 2)


def made(result):
    return from_factory(lambda: result, "models.py:build", seed=0)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (MODEL, Target(MODEL)),
        ((MODEL, X), Target(MODEL, X)),
        ((MODEL, X, Y), Target(MODEL, X, Y)),
        ({"model": MODEL, "inputs": X, "loss": "mse"}, Target(MODEL, X, loss="mse")),
        ({"model": MODEL, "data": (X, Y)}, Target(MODEL, data=(X, Y))),
    ],
)
def test_every_form_of_result_is_read(result, expected):
    target = made(result)
    assert target.model is MODEL
    assert target.inputs is expected.inputs
    assert target.target is expected.target
    assert target.loss == expected.loss
    assert target.data == expected.data


def test_a_model_may_stand_in_place_of_a_factory():
    assert from_factory(MODEL, "models.py:MODEL", seed=0).model is MODEL


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "returned NoneType"),
        ((MODEL,), "returned tuple"),
        ((MODEL, X, Y, X), "returned tuple"),
        ((X, MODEL), "model is Tensor"),
        ({"inputs": X}, "model is NoneType"),
        ({"model": MODEL, "input": X}, "unknown keys: input"),
    ],
)
def test_other_results_are_refused_with_the_forms_that_would_do(result, said):
    with pytest.raises(InputError, match=said) as caught:
        made(result)
    assert caught.value.where == "models.py:build"
    assert "(model, inputs)" in caught.value.remedy


def test_a_factory_that_raises_is_told_with_its_place():
    def build():
        raise KeyError("no such layer")

    with pytest.raises(InputError, match=r"KeyError: 'no such layer' \(test_targets.py:\d+\)"):
        from_factory(build, "models.py:build", seed=0)


def test_weights_depend_on_the_seed_and_the_global_generator_stands_still():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (
        from_factory(lambda: torch.nn.Linear(3, 2), "", seed=seed).model.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_shape_gives_standard_normal_values_from_the_seed():
    target = with_inputs(Target(MODEL), "4000x3", seed=5)
    assert target.inputs.shape == (4000, 3)
    assert abs(target.inputs.mean()) < 0.05
    assert abs(target.inputs.std() - 1) < 0.05
    assert torch.equal(target.inputs, with_inputs(Target(MODEL), "4000x3", seed=5).inputs)
    assert not torch.equal(target.inputs, with_inputs(Target(MODEL), "4000x3", seed=6).inputs)


def test_values_take_the_models_own_type(tmp_path):
    model = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
    assert with_inputs(Target(model), "4x3", seed=0).inputs.dtype == torch.bfloat16
    np.save(tmp_path / "x.npy", np.ones((4, 3)))
    np.save(tmp_path / "ids.npy", np.ones((4, 3), dtype=np.int64))
    assert with_inputs(Target(model), str(tmp_path / "x.npy"), 0).inputs.dtype == torch.bfloat16
    assert with_inputs(Target(model), str(tmp_path / "ids.npy"), 0).inputs.dtype == torch.int64


@pytest.mark.parametrize("text", ["", "x", "3x", "x3", "3x0", "-3x2", "3 x 2", "3,2", "٣x٢"])
def test_other_texts_are_no_shape(text):
    with pytest.raises(InputError, match="no shape"):
        shape_of(text)


def test_one_array_is_positional_and_several_go_by_keyword(tmp_path):
    np.savez(tmp_path / "one.npz", x=np.ones((2, 3), np.float32))
    np.savez(tmp_path / "two.npz", x=np.ones((2, 3)), mask=np.ones((2, 3), bool))
    save_file({"a": np.ones(2), "b": np.zeros(3)}, tmp_path / "two.safetensors")
    one = with_inputs(Target(MODEL), str(tmp_path / "one.npz"), 0).inputs
    two = with_inputs(Target(MODEL), str(tmp_path / "two.npz"), 0).inputs
    assert torch.equal(one, torch.ones(2, 3))
    assert {name: tensor.dtype for name, tensor in two.items()} == {
        "x": torch.float32,
        "mask": torch.bool,
    }
    assert set(read_arrays(tmp_path / "two.safetensors")) == {"a", "b"}


def test_a_target_is_one_array(tmp_path):
    np.save(tmp_path / "classes.npy", np.arange(3))
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(2))
    assert torch.equal(read_target(tmp_path / "classes.npy"), torch.arange(3))
    with pytest.raises(InputError, match="the file has 2: a, b"):
        read_target(tmp_path / "two.npz")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    sign = tmp_path / "exploded"
    objects = np.array([Bomb(sign)], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=objects)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Bomb(sign)))
    for name in ("objects.npy", "objects.npz", "plain.npy"):
        with pytest.raises(InputError, match="cannot be read"):
            read_arrays(tmp_path / name)
    assert not sign.exists()


def test_files_that_hold_no_numbers_are_refused(tmp_path):
    good = tmp_path / "good.npy"
    np.save(good, np.ones(100))
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:200])
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 16)
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    (tmp_path / "empty.npy").touch()
    for name in ("cut.npy", "cut.npz", "cut.safetensors", "text.npy", "empty.npy", "none.npy"):
        with pytest.raises(InputError, match="cannot be read"):
            read_arrays(tmp_path / name)
    with pytest.raises(InputError, match=r"read from \.npy, \.npz and \.safetensors"):
        read_arrays(tmp_path / "weights.pt")


def test_nan_inputs_are_refused_and_masks_of_minus_infinity_are_not():
    bad = torch.ones(2, 3)
    bad[1, 2] = torch.nan
    with pytest.raises(InputError, match="1 of 6 values of input 0 is NaN"):
        Call.of(bad).require_values()
    with pytest.raises(InputError, match="2 of 12 values of input x are NaN"):
        Call.of({"x": torch.cat([bad, bad]), "ids": torch.ones(2).long()}).require_values()
    Call.of(torch.full((2, 3), -torch.inf)).require_values()
    Call.of(torch.ones(2, 3, device="meta")).require_values()
