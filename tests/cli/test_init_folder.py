"""``evenflow init --out DIR``: a checkpoint that Transformers loads, of a model without memory."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import evenflow as ef
from evenflow.torch.weightless import LIGHT, weightless

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 4000,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def llama(tmp_path):
    def write(**changes):
        (tmp_path / "config.json").write_text(json.dumps({**LLAMA, **changes}))

    write()
    return write


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("tied", [False, True])
def test_from_pretrained_loads_what_apply_writes(run, llama, tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    llama(tie_word_embeddings=tied)
    assert run("plan hf:config.json --out plan.json").exit_code == 0
    line = "init hf:config.json --plan plan.json --out out --dtype bf16 --max-shard-size 260KB"
    result = run(line + " --seed 3")
    assert result.exit_code == 0
    assert "seed 3" in result.stdout
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True, local_files_only=True
    )
    assert not any(info.values())
    assert model.dtype == torch.bfloat16
    single = transformers.LlamaForCausalLM(model.config).to(torch.bfloat16)
    ef.Plan.load(tmp_path / "plan.json").apply_(single, seed=3)
    expected = single.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())
    stored = json.loads((tmp_path / "out/model.safetensors.index.json").read_bytes())
    assert ("lm_head.weight" in stored["weight_map"]) == (not tied)


def test_without_a_plan_the_scheme_decides(run, llama, tmp_path):
    assert run("init hf:config.json --out a --scheme glorot").exit_code == 0
    assert run("plan hf:config.json --out plan.json --scheme glorot").exit_code == 0
    assert run("init hf:config.json --out b --plan plan.json --jobs 1").exit_code == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_run_again_it_keeps_what_is_there(run, llama, tmp_path):
    line = "init hf:config.json --out out --max-shard-size 600KB"
    assert run(line).exit_code == 0
    before = contents(tmp_path / "out")
    again = run(line)
    assert "0 files written, 2 were there already" in again.stdout
    assert contents(tmp_path / "out") == before


def test_hosts_share_the_work(run, llama, tmp_path):
    line = "init hf:config.json --max-shard-size 600KB"
    first = run(f"{line} --out out --host 1/2")
    assert "1 of other hosts are still to come" in first.stdout
    assert run(f"{line} --out out --host 2/2").exit_code == 0
    assert run(f"{line} --out alone").exit_code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_a_factorys_model_with_its_buffers_and_what_is_left_as_found(run, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    net = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300), nn.Linear(300, 2))\n"
        "    net[2].bias.requires_grad_(False).fill_(3.0)\n"
        "    return net, torch.randn(4, 300)\n"
    )
    result = run("init net.py:build --out out --seed 5")
    assert result.exit_code == 0, result.stderr
    found = load_file(tmp_path / "out/model.safetensors")
    assert set(found) == {
        *(f"0.{n}" for n in ("weight", "bias")),
        *(f"1.{n}" for n in ("weight", "bias", "running_mean", "running_var")),
        *("1.num_batches_tracked", "2.weight", "2.bias"),
    }
    assert found["1.running_var"].eq(1).all()
    assert found["1.num_batches_tracked"].item() == 0
    assert found["2.bias"].tolist() == [3.0, 3.0]
    assert 0 < found["0.weight"].std() < 1


def test_what_is_left_as_found_and_not_in_memory_is_named(run, llama, tmp_path):
    assert run("plan hf:config.json --out plan.json").exit_code == 0
    plan = ef.Plan.load(tmp_path / "plan.json")
    plan["model.embed_tokens.weight"] = None
    plan.save(tmp_path / "plan.json")
    refused = run("init hf:config.json --plan plan.json --out out")
    assert refused.exit_code == 2
    assert "model.embed_tokens.weight: the plan does not fill it" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_plan_for_another_model(run, llama, tmp_path):
    assert run("plan hf:config.json --out plan.json").exit_code == 0
    llama(num_hidden_layers=1)
    refused = run("init hf:config.json --plan plan.json --out out")
    assert refused.exit_code == 2
    assert "the plan does not fit the model in 9 places" in refused.stderr
    assert "no parameter model.layers.1.mlp.up_proj.weight" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_no_room(run, llama, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    refused = run("init hf:config.json --out out")
    assert refused.exit_code == 2
    assert "the disk has 1 kB free" in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--out out --max-shard-size 100KB", "--max-shard-size 1MB or more"),
        ("--out out --max-shard-size huge", "is no size"),
        ("--out out --max-shard-size 0GB", "is no size"),
        ("--out out --host 3/2", "is not one of several"),
        ("--out out --calibrate noise", "--out weights.safetensors"),
        ("--out w.safetensors --dtype bf16", "--dtype is for a folder"),
        ("--out config.json", "this is a file"),
        ("--out .", "the folder holds config.json"),
    ],
)
def test_options_that_cannot_be(run, llama, tmp_path, options, said):
    before = contents(tmp_path)
    refused = run(f"init hf:config.json {options}")
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert contents(tmp_path) == before


def test_weightless_models_keep_small_parameters_and_ties():
    with weightless():
        model = torch.nn.Sequential(torch.nn.Linear(1 << 9, 1 << 8), torch.nn.Linear(8, 8))
        model[1].other = model[0].weight
        model.register_buffer("table", torch.arange(3))
    assert model[0].weight.is_meta
    assert model[0].weight.numel() > LIGHT
    assert model[1].other is model[0].weight
    assert np.isfinite(model[1].weight.detach().numpy()).all()
    assert model.table.tolist() == [0, 1, 2]
    assert not torch.nn.Linear(1 << 9, 1 << 8).weight.is_meta
