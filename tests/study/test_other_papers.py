"""he2015 and saxe2014: drawn from what was measured, tiny or made up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from evenflow.cli import main
from evenflow.study.folder import Folder
from evenflow.study.he2015 import convergence
from evenflow.study.he2015 import scales as he_scales
from evenflow.study.saxe2014 import learning_time
from evenflow.study.saxe2014 import scales as saxe_scales


def test_deep_rectifiers_are_trained_and_drawn(tmp_path, monkeypatch):
    tiny = dataclasses.replace(
        he_scales.SCALES["smoke"], name="tiny", width=16, updates=20, looks=2, test_images=50
    )
    monkeypatch.setitem(he_scales.SCALES, "tiny", tiny)
    words = ["study", "run", "he2015", "--scale", "tiny", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    section = convergence.draw(tiny, Folder(tmp_path).result)
    kept = {row[:2]: float(row[2]) for row in section.tables[0].rows}
    for depth in ("22", "30"):
        assert kept[depth, "Xavier"] < 0.05 * kept[depth, "He"]
    assert len(section.findings) == 2
    assert all(picture.chart is not None for picture in section.pictures)


def learnt_after(updates):
    """What is measured of a network whose cost falls low enough at that look."""
    at = np.array([0, 100, 200, 300])
    return {"evaluated_at": at, "training_cost": np.where(at < updates, 0.4, 0.2)}


def test_learning_time_is_the_least_over_the_rates():
    scale = dataclasses.replace(saxe_scales.SCALES["smoke"], depths=(3, 10), tries=2)

    def lookup(trial):
        deep, gaussian = len(trial.network.hidden) > 2, trial.network.scheme == "lecun_normal"
        best = trial.rate == min(scale.rates(10 if deep else 3))
        return learnt_after(300 if deep and gaussian else 100 if best else 200)

    section = learning_time.draw(scale, lookup)
    times = [row[:3] for row in section.tables[0].rows]
    assert times == [
        ("Gaussian", "3", "100"),
        ("Gaussian", "10", "300"),
        ("orthogonal", "3", "100"),
        ("orthogonal", "10", "100"),
    ]
    assert [finding.holds for finding in section.findings] == [True]


def test_what_never_learns_is_said(monkeypatch):
    scale = saxe_scales.SCALES["smoke"]
    section = learning_time.draw(scale, lambda _trial: learnt_after(1000))
    assert {row[2] for row in section.tables[0].rows} == {"not learnt"}
    assert section.pictures[0].chart is None


@pytest.mark.parametrize("study", ["he2015", "saxe2014"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scale", "huge"), "there is no scale 'huge'"),
        (("--data-sets", "mnist"), "leave out --data-sets"),
        (("--only", "figg"), "has no figure or table 'figg'"),
    ],
)
def test_bad_orders_are_refused(tmp_path, study, words, said):
    result = CliRunner().invoke(main, ["study", "run", study, "--out", str(tmp_path / "o"), *words])
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "o").exists()
