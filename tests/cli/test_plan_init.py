"""``evenflow plan`` decides and writes nothing; ``evenflow init`` writes whole or not at all."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model

import evenflow as ef
from evenflow.torch.weights_file import save_weights


def test_a_plan_is_printed_with_its_reasons(run):
    result = run("plan healthy.py:with_inputs")
    assert result.exit_code == 0
    assert "0.weight" in result.stdout
    assert "linear: fans (12, 32)" in result.stdout


def test_in_a_terminal_the_reasons_are_wrapped_beside_the_names(run, monkeypatch):
    monkeypatch.setattr("evenflow.cli.console.in_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("plan healthy.py:with_inputs").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Plan · scheme auto · 6 parameters"
    (weight,) = (line for line in lines if line.startswith("2.weight"))
    below = lines[lines.index(weight) + 1]
    assert below.startswith(" " * weight.index("linear: fans"))
    assert any(line.startswith("• relu") for line in lines)


def test_a_plan_is_saved_to_be_edited_and_applied(run, tmp_path):
    saved = run("plan healthy.py:with_inputs --scheme glorot --out plan.json")
    assert saved.exit_code == 0
    assert "Plan saved: plan.json" in saved.stderr
    plan = ef.Plan.load(tmp_path / "plan.json")
    plan["4.weight"] = plan["2.weight"].distribution
    plan.save(tmp_path / "plan.json")
    applied = run("init healthy.py:with_inputs --plan plan.json --seed 3 --out w.safetensors")
    assert applied.exit_code == 0
    bound = plan["2.weight"].distribution.bound
    head = load_file(tmp_path / "w.safetensors")["4.weight"]
    assert 0.9 * bound < head.abs().max() <= bound


def test_init_writes_what_init_in_python_gives(run, tmp_path):
    assert run("init healthy.py:with_inputs --seed 5 --out w.safetensors").exit_code == 0
    model = torch.nn.Sequential(
        torch.nn.Linear(12, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.ReLU(),
        torch.nn.Linear(32, 2),
    )  # fmt: skip
    ef.init_(model, torch.randn(4, 12), seed=5)
    written = load_file(tmp_path / "w.safetensors")
    assert written.keys() == model.state_dict().keys()
    assert all(torch.equal(written[k], v) for k, v in model.state_dict().items())


def test_residual_branches_start_as_asked(run, tmp_path):
    assert "scaled by" in run("plan healthy.py:residual").stdout
    assert "scaled by" not in run("plan healthy.py:residual --residual none").stdout
    asked = "healthy.py:residual --residual zero-last"
    assert "starts as the identity" in run(f"plan {asked}").stdout
    assert run(f"init {asked} --out w.safetensors").exit_code == 0
    assert run(f"init {asked} --out folder").exit_code == 0
    for file in (tmp_path / "w.safetensors", *(tmp_path / "folder").glob("*.safetensors")):
        assert not load_file(file)["branches.3.2.weight"].any()


def test_what_a_stored_plan_says_is_not_said_twice(run):
    run("plan healthy.py:residual --out plan.json")
    for verb, more in (("init", "--out w.safetensors"), ("derive", "")):
        line = f"{verb} healthy.py:residual --plan plan.json --residual none {more}"
        assert run(line).exit_code == 2


@pytest.mark.parametrize("on", ["noise", "inputs"])
def test_init_calibrates(run, tmp_path, on):
    run("init healthy.py:with_inputs --out plain.safetensors")
    result = run(f"init healthy.py:with_inputs --calibrate {on} --out w.safetensors")
    assert result.exit_code == 0
    assert "calibrated" in result.stdout
    plain, calibrated = (load_file(tmp_path / f"{n}.safetensors") for n in ("plain", "w"))
    ratio = calibrated["2.weight"] / plain["2.weight"]
    assert ratio.std() < 1e-4
    assert ratio.mean() != pytest.approx(1, abs=1e-4)


def test_a_tied_tensor_is_stored_once_and_comes_back_under_both_names(run, tmp_path):
    assert run("init healthy.py:tied --out w.safetensors").exit_code == 0
    path = tmp_path / "w.safetensors"
    with safe_open(path, "pt") as file:
        assert list(file.keys()) == ["first.weight"]
        assert file.metadata()["second.weight"] == "first.weight"

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(12, 12, bias=False)
            self.second = torch.nn.Linear(12, 12, bias=False)
            self.second.weight = self.first.weight

    model = Tied()
    load_model(model, path)
    assert torch.equal(model.second.weight, load_file(path)["first.weight"])


def test_names_are_canonical_under_wrappers(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    save_weights(torch.nn.DataParallel(model), tmp_path / "w.safetensors")
    assert set(load_file(tmp_path / "w.safetensors")) == set(model.state_dict())


def test_a_file_that_is_there_is_replaced(run, tmp_path):
    (tmp_path / "w.safetensors").write_text("old")
    assert run("init healthy.py:with_inputs --out w.safetensors").exit_code == 0
    assert "0.weight" in load_file(tmp_path / "w.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_plan_and_a_scheme_are_two_answers_to_one_question(run):
    for option in ("--scheme he", "--calibrate noise"):
        result = run(f"init healthy.py:with_inputs --plan p.json {option} --out w.safetensors")
        assert result.exit_code == 2
        assert "--plan already says it all" in result.stderr


def test_the_saved_plan_is_json_with_a_version(run, tmp_path):
    run("plan healthy.py:with_inputs --out plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["evenflow_plan"] == 1
    assert content["scheme"] == "auto"
