"""The gate: a stored profile holds for other seeds, and not for another model."""

import math

import msgspec
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.diagnose import diagnose
from evenflow.diagnose.baseline import Interval, ProfileMoved, gated, load, profile, save
from evenflow.errors import InputError


def record(seed=0, gain=1.0, width=32, act=nn.Tanh, norm=False):
    torch.manual_seed(seed)
    layers = [nn.Linear(12, width), act(), nn.Linear(width, width), act(), nn.Linear(width, 4)]
    if norm:
        layers.insert(1, nn.LayerNorm(width))
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model[-3].weight.mul_(gain)
    return ef.check(model, torch.randn(64, 12), seed=seed).record


@pytest.fixture(scope="module")
def stored():
    return profile([record(seed) for seed in range(5)])


def test_the_same_model_under_other_seeds_has_not_moved(stored):
    for seed in range(10, 30):
        assert ProfileMoved().compare(stored, record(seed)) == []


@pytest.mark.parametrize("changed", [{"gain": 1.6}, {"gain": 0.5}, {"act": nn.ReLU}])
def test_another_initialisation_or_activation_has_moved(stored, changed):
    found = ProfileMoved().compare(stored, record(3, **changed))
    assert found
    assert {finding.code for finding in found} == {"EF901"}
    assert all(finding.level == "error" for finding in found)


def test_the_layer_and_the_number_are_named(stored):
    now = record(3, gain=1.6)
    (forward, *_) = ProfileMoved().compare(stored, now)
    assert forward.where == "2"
    (layer,) = (layer for layer in now.layers if layer.layer == "2")
    assert f"{layer.forward.second_moment:.2g}"[:3] in forward.measured
    low, high = (float(end) for end in forward.expected.split(" to "))
    assert low < high < layer.forward.second_moment


def test_operations_that_come_or_go_are_told(stored):
    (first, *_) = ProfileMoved().compare(stored, record(3, norm=True))
    assert "1 operations have come" in first.measured


def test_a_profile_is_read_as_it_was_written(stored, tmp_path):
    odd = replace_interval(stored)
    save(odd, tmp_path / "profile.json")
    again = load(tmp_path / "profile.json")
    assert again.model == odd.model
    assert set(again.forward) == set(odd.forward)
    for name, interval in odd.forward.items():
        assert again.forward[name] == interval or math.isnan(interval.mean)


def replace_interval(stored):
    """The profile with one operation whose second moment was 0."""
    first = next(iter(stored.forward))
    forward = {**stored.forward, first: Interval(math.nan, math.nan)}
    return msgspec.structs.replace(stored, forward=forward)


def test_a_dead_layer_is_held_to_being_dead():
    dead = Interval(math.nan, math.nan)
    assert dead.holds(0.0)
    assert not dead.holds(0.1)
    assert not Interval(0.0, 0.1).holds(0.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"),
        ("[]", "no profile"),
        ('{"format": "other"}', "no profile"),
        ('{"format": "evenflow-profile", "version": 9}', "version 9"),
        ('{"format": "evenflow-profile", "version": 1}', "damaged"),
        ('{"format": "evenflow-profile", "version": 1, "forward": 1, "backward": {}}', "damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, content, said):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "p.json")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "p.json")


def test_the_verdict_stands_among_the_others(stored):
    now = record(3, gain=1.6)
    diagnosis = gated(diagnose(now), now, stored)
    assert diagnosis.outcomes[-1].code == "EF901"
    assert diagnosis.at_or_above("error")[0].code == "EF901"
