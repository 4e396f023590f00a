"""The commands on runs: report, tail, compare, and the gate of a check."""

import os

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import evenflow as ef
from evenflow.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two short trainings, one with a rate that is too high."""
    folder = tmp_path_factory.mktemp("runs")
    for name, rate in (("sound", 0.1), ("wild", 50.0)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh())
        model.append(nn.Linear(24, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))
        with ef.watch(model, optimizer=optimizer, every=2, out=folder / name) as w:
            for _ in range(60):
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                w.step(loss=loss)
    return folder


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_report_is_a_page_in_the_runs_folder(runs):
    done = run("report", runs / "sound")
    assert done.exit_code == 0, done.output
    page = (runs / "sound" / "report.html").read_text()
    assert "Nothing wrong in 60 steps" in page
    assert 'id="time"' in page
    assert "http://" not in page.split("<script>")[0]


def test_a_report_in_words_names_the_cause(runs):
    done = run("report", runs / "wild", "--format", "text")
    assert done.exit_code == 0
    assert "Learning rate high" in done.output
    assert "EF701" in done.output


def test_a_folder_without_a_run_is_told(runs, tmp_path):
    for verb in ("report", "tail"):
        done = run(verb, tmp_path)
        assert done.exit_code == 2
        assert "there is no run here" in done.output


def test_tail_prints_a_line_a_sample_and_events(runs):
    done = run("tail", runs / "wild", "--once")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].split()[:2] == ["step", "loss"]
    assert sum(line.split()[0].isdigit() for line in lines[1:]) == 20
    assert any("verdict" in line and "EF701" in line for line in lines)


def test_two_runs_side_by_side(runs, tmp_path):
    out = tmp_path / "both.html"
    done = run("compare", runs / "sound", runs / "wild", "--out", out)
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert page.count("Nothing wrong in 60 steps") == 1
    assert 'id="updates-1"' in page


MODEL = """
import torch
from torch import nn
def build():
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))
    with torch.no_grad():
        model[0].weight.mul_({gain})
    return model, torch.randn(32, 8)
"""


def test_the_gate_stores_a_profile_then_holds_the_model_to_it(tmp_path):
    model, profile = tmp_path / "model.py", tmp_path / "profile.json"
    gate = ("check", f"{model}:build", "--baseline", profile, "--fail-on", "error")
    model.write_text(MODEL.format(gain=1.0))
    assert run(*gate).exit_code == 0
    before = profile.read_bytes()
    assert run(*gate, "--seed", 9).exit_code == 0
    model.write_text(MODEL.format(gain=2.0))
    done = run(*gate, "--out", tmp_path / "out.sarif")
    assert done.exit_code == 1
    assert "EF901" in (tmp_path / "out.sarif").read_text()
    assert profile.read_bytes() == before


def test_a_gate_with_a_strange_file_is_told(tmp_path):
    model = tmp_path / "model.py"
    model.write_text(MODEL.format(gain=1.0))
    (tmp_path / "p.json").write_text("{}")
    done = run("check", f"{model}:build", "--baseline", tmp_path / "p.json")
    assert done.exit_code == 2
    assert "no profile of evenflow" in done.output
    assert os.listdir(tmp_path)
