"""The main job: the paper's network is diagnosed, fixed, and trained side by side."""

import math

import pytest
import torch
from click.testing import CliRunner

from evenflow.cli import main
from evenflow.errors import InputError
from evenflow.study import main_job
from evenflow.study.digits import digits
from evenflow.study.registry import STUDIES, find


@pytest.fixture(scope="module")
def report():
    """The study itself, with fewer steps."""
    patch = pytest.MonkeyPatch()
    patch.setattr(main_job, "STEPS", 60)
    state = torch.get_rng_state()
    try:
        made = main_job.run(0, lambda *_said: None)
    finally:
        patch.undo()
    assert torch.equal(torch.get_rng_state(), state)
    return made


def test_the_network_is_that_of_the_paper(report):
    weights = [each for each in report.record.weights if each.name.endswith(".weight")]
    assert [weight.shape for weight in weights] == [
        (1000, 64), (1000, 1000), (1000, 1000), (1000, 1000), (1000, 1000), (10, 1000),
    ]  # fmt: skip
    for weight in weights:
        bound = weight.shape[1] ** -0.5
        assert weight.values.maximum == pytest.approx(bound, rel=1e-2)
        assert weight.values.variance == pytest.approx(bound**2 / 3, rel=0.02)
    activations = [layer for layer in report.record.layers if layer.activation == "tanh"]
    assert [layer.shape for layer in activations] == [(300, 1000)] * 5


def test_signal_and_gradient_fade_under_the_heuristic_and_not_under_the_plan(report):
    def ends(trial):
        hidden = [layer for layer in trial.record.layers if layer.activation]
        forward = hidden[-1].forward.second_moment / hidden[0].forward.second_moment
        return forward, hidden[0].backward.second_moment / hidden[-1].backward.second_moment

    before, after = map(ends, (report.comparison.before, report.comparison.after))
    assert before[0] < 0.02
    assert before[1] < 0.02
    assert 0.2 < after[0] < 5
    assert 0.2 < after[1] < 10


def test_the_check_finds_it_and_the_fix_helps(report):
    codes = {finding.code for finding in report.diagnosis.findings}
    assert {"EF101", "EF201"} <= codes
    assert not report.comparison.after.diagnosis.findings
    assert report.comparison.helped


def test_both_versions_are_trained_and_tested_alike(report):
    before, after = report.comparison.before.curve, report.comparison.after.curve
    assert before.steps == after.steps == tuple(range(1, 61))
    assert before.test_steps == after.test_steps
    assert before.losses[0] == pytest.approx(math.log(10), abs=0.1)
    assert after.test_accuracies[-1] > before.test_accuracies[-1]
    assert sum(after.losses[-10:]) < sum(before.losses[-10:])


def test_the_split_is_fixed_by_the_seed_and_centred_on_what_is_trained_on():
    train, test = digits(0)
    assert train.images.shape == (1347, 64)
    assert test.images.shape == (450, 64)
    assert train.images.mean().abs() < 1e-5
    assert train.images.std() == pytest.approx(1, abs=1e-3)
    assert set(test.classes.tolist()) == set(range(10))
    assert torch.equal(digits(0)[1].images, test.images)
    assert not torch.equal(digits(1)[1].images, test.images)
    both = torch.cat([train.images, test.images])
    assert len(torch.unique(both, dim=0)) == len(both)


def test_the_command_writes_the_report_and_says_where(report, tmp_path, monkeypatch):
    monkeypatch.setattr(main_job, "run", lambda _seed, _progress: report)
    result = CliRunner().invoke(main, ["study", "run", "main-job", "--out", str(tmp_path / "o")])
    assert result.exit_code == 0
    assert "The change helped" in result.stdout
    page = tmp_path / "o" / "report.html"
    assert str(page) in "".join(result.stderr.split("\n"))
    assert page.read_text().startswith("<!doctype html>")
    assert (tmp_path / "o" / "report.json").is_file()


def test_every_study_is_listed_with_a_line():
    listed = CliRunner().invoke(main, ["study", "list"]).stdout
    for name, study in STUDIES.items():
        assert name in listed
        assert study.summary in listed


def test_an_unknown_study_is_refused_with_what_comes_close():
    with pytest.raises(InputError, match="did you mean main-job"):
        find("main-jop")
