"""``evenflow check checkpoint:DIR``."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from evenflow.planning.distributions import Normal
from evenflow.planning.plan import Entry, Plan


@pytest.fixture
def cloned(tmp_path):
    one = np.random.default_rng(0).normal(0, 0.1, (40, 30)).astype(np.float32)
    save_file({"a": one, "b": one}, tmp_path / "model.safetensors")
    entries = {name: Entry((40, 30), Normal(0.02), "") for name in ("a", "b")}
    Plan("by hand", entries).save(tmp_path / "plan.json")


def test_findings_are_told_and_decide_the_exit_status(run, cloned):
    result = run("check checkpoint:.")
    assert result.exit_code == 1
    assert "EF602 cloned-tensors  b" in result.stdout
    assert "2,400" in result.stdout
    assert run("check checkpoint:model.safetensors --ignore EF602").exit_code == 0


def test_a_plan_to_compare_with(run, cloned):
    result = run("check checkpoint:. --plan plan.json --ignore EF602")
    assert result.exit_code == 1
    assert "EF604 off-plan-scale" in result.stdout
    assert "4.89 times the plan's" in " ".join(result.stdout.split())


@pytest.mark.parametrize("form", ["json", "html", "sarif", "junit", "text"])
def test_every_format_takes_it(run, cloned, tmp_path, form):
    result = run(f"check checkpoint:. --format {form} --out report --fail-on never")
    assert result.exit_code == 0
    written = (tmp_path / "report").read_text()
    assert "cloned-tensors" in written
    if form == "json":
        assert [t["name"] for t in json.loads(written)["record"]["stored"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("check checkpoint:. --inputs 3x4", "a checkpoint is not run"),
        ("check checkpoint:. --fix", "a checkpoint is not run"),
        ("check checkpoint:nowhere", "there is no such checkpoint"),
        ("check healthy.py:with_inputs --plan plan.json", "--plan is for a checkpoint"),
        ("check checkpoint:. --plan missing.json", "cannot be read"),
    ],
)
def test_what_cannot_be(run, cloned, line, said):
    result = run(line)
    assert result.exit_code == 2
    assert said in result.stderr
