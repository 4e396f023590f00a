"""hf: targets: models from their configuration, with synthetic inputs, offline."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from evenflow.cli import main
from evenflow.errors import InputError
from evenflow.integrations.transformers import from_config, synthetic_inputs

TINY = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 97, "n_positions": 48,
             "bos_token_id": 1, "eos_token_id": 1},
    "bert": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32,
             "intermediate_size": 64, "vocab_size": 97},
    "vit": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32,
            "intermediate_size": 64, "image_size": 16, "patch_size": 8},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "t5": {"num_layers": 2, "num_heads": 2, "d_model": 32, "d_kv": 16, "d_ff": 64,
           "vocab_size": 97},
    "whisper": {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                "decoder_attention_heads": 2, "d_model": 32, "encoder_ffn_dim": 64,
                "decoder_ffn_dim": 64, "max_source_positions": 20, "vocab_size": 97,
                "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1,
                "decoder_start_token_id": 1},
}  # fmt: skip
SHAPES = {
    "gpt2": {"input_ids": (4, 48)},
    "bert": {"input_ids": (4, 64)},
    "vit": {"pixel_values": (4, 3, 16, 16)},
    "resnet": {"pixel_values": (4, 3, 224, 224)},
    "t5": {"input_ids": (4, 64), "decoder_input_ids": (4, 64)},
    "whisper": {"input_features": (4, 80, 40), "decoder_input_ids": (4, 64)},
}


@pytest.fixture
def config(tmp_path):
    """Write a configuration as Transformers saves it; returns its path."""

    def write(model_type, **changes):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"model_type": model_type, **TINY[model_type], **changes}))
        return str(path)

    return write


@pytest.mark.parametrize("model_type", TINY)
def test_synthetic_inputs_fit_the_model(config, model_type):
    model = from_config(config(model_type), seed=0)
    inputs = synthetic_inputs(model, seed=0)
    assert {name: tuple(value.shape) for name, value in inputs.items()} == SHAPES[model_type]
    with torch.no_grad():
        output = model(**inputs)[0]
    assert output.shape[0] == 4
    assert output.isfinite().all()


def test_weights_and_inputs_follow_the_seed_and_the_global_generator_stands_still(config):
    path = config("gpt2")
    state = torch.get_rng_state()
    first, again, other = (from_config(path, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.wte.weight, again.wte.weight)
    assert not torch.equal(first.wte.weight, other.wte.weight)
    ids = [synthetic_inputs(first, seed=seed)["input_ids"] for seed in (0, 0, 1)]
    assert torch.equal(ids[0], ids[1])
    assert not torch.equal(ids[0], ids[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_shape_replaces_that_of_the_main_input(config):
    model = from_config(config("gpt2"), seed=0)
    ids = synthetic_inputs(model, seed=0, shape=(2, 5))["input_ids"]
    assert ids.shape == (2, 5)
    assert ids.dtype == torch.int64
    assert ids.max() < 97


def test_a_model_type_alone_is_planned_without_memory():
    model = from_config("gpt2", seed=0, meta=True)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert synthetic_inputs(model, seed=0)["input_ids"].is_meta
    assert model.config.n_layer == 12


def test_a_folder_with_a_configuration_will_do(config, tmp_path):
    config("vit")
    assert from_config(str(tmp_path), seed=0).config.image_size == 16


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[1, 2]", 'a JSON object with a "model_type"'),
        ('{"model_type": 3}', 'a JSON object with a "model_type"'),
        ('{"model_type": "gpt22"}', "no model type 'gpt22'"),
        ('{"model_type": "gpt2", "n_layer": "many"}', "not valid|no model can be built"),
        ('{"model_type": "gpt2", "n_embd": 30, "n_head": 4}', "not valid|no model can be built"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, content, said):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        from_config(str(path), seed=0)


def test_remote_code_named_in_a_configuration_is_not_run(config, tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    path = config("gpt2", auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})
    assert type(from_config(path, seed=0)).__name__ == "GPT2Model"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("model_type", ["gpt2", "bert", "vit"])
def test_check_and_plan_take_a_configuration(config, model_type):
    path = config(model_type)
    checked = CliRunner().invoke(
        main, ["check", f"hf:{path}", "--format", "json"], catch_exceptions=False
    )
    assert checked.exit_code in (0, 1), checked.output
    assert len(json.loads(checked.stdout)["record"]["layers"]) > 10
    planned = CliRunner().invoke(main, ["plan", f"hf:{path}"], catch_exceptions=False)
    assert planned.exit_code == 0
    assert "fans (32, " in planned.stdout


def layers(*words):
    result = CliRunner().invoke(main, [*words, "--format", "json"], catch_exceptions=False)
    return json.loads(result.stdout)["record"]["layers"]


def test_inputs_can_be_a_shape_or_a_file(config, tmp_path):
    path = config("gpt2")
    np.save(tmp_path / "ids.npy", np.arange(14).reshape(2, 7))
    np.savez(tmp_path / "two.npz", input_ids=np.ones((3, 7), int), attention_mask=np.ones((3, 7)))
    for inputs, expected in (("2x5", [2, 5]), ("ids.npy", [2, 7]), ("two.npz", [3, 7])):
        inputs = inputs if inputs == "2x5" else str(tmp_path / inputs)
        assert layers("check", f"hf:{path}", "--inputs", inputs)[0]["shape"][:2] == expected
