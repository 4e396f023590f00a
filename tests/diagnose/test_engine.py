"""Choosing, applying and ordering rules; the register; the page made from the explanations."""

from pathlib import Path

import pytest

from evenflow.diagnose import diagnose, find, rules
from evenflow.diagnose.catalogue import page
from evenflow.diagnose.rules.forward import ExplodingForward
from evenflow.diagnose.training.registry import every_rule
from evenflow.errors import InputError

from .records import chain, layer, record, weight

FADING = [1e-4**i for i in range(5)]


def test_codes_and_names_are_unique_and_well_formed():
    codes, names = [r.code for r in rules()], [r.name for r in rules()]
    assert len(set(codes)) == len(codes) == len(set(names))
    assert codes == sorted(codes)
    for rule in rules():
        assert rule.code[:2] == "EF"
        assert rule.code[2:].isdigit()
        assert rule.family in ("forward", "backward", "weights", "loss", "inputs", "checkpoint")
        assert rule.name == rule.name.lower()


def test_every_explanation_says_measure_threshold_and_remedy():
    for rule in rules():
        assert rule.summary.endswith(".")
        assert len(rule.summary) < 80
        assert "Measured" in rule.explanation, rule.code
        assert "Remedy: " in rule.explanation, rule.code
        assert rule.level in rule.explanation.lower(), rule.code


def test_causes_are_known_and_never_run_in_circles():
    explains = {rule.code: rule.explains for rule in every_rule()}

    def effects(code: str, seen: tuple[str, ...] = ()) -> None:
        assert code not in seen, f"{code} explains itself"
        for effect in explains[code]:
            effects(effect, (*seen, code))

    for code in explains:
        effects(code)


def test_the_page_is_current():
    written = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m evenflow.diagnose.catalogue > docs/rules.md"


def test_rules_are_found_by_code_and_by_name():
    assert find("EF101") is find("vanishing-forward") is find(" ef101 ")


def test_an_unknown_rule_is_told_with_what_comes_close():
    with pytest.raises(InputError, match=r"no rule 'vanishing'[\s\S]*EF101 \(vanishing-forward\)"):
        find("vanishing")
    with pytest.raises(InputError, match="evenflow rules"):
        find("qqqqqqq")
    with pytest.raises(InputError, match="no rule 'EF999'"):
        diagnose(chain(FADING), ignore=["EF999"])


def test_select_and_ignore():
    fading = chain(FADING)
    fitting = {r.code for r in rules() if r.family != "checkpoint"}
    assert {o.code for o in diagnose(fading).outcomes} == fitting
    only = diagnose(fading, select=["vanishing-forward", "EF102"])
    assert [o.code for o in only.outcomes] == ["EF101", "EF102"]
    assert [f.code for f in only.findings] == ["EF101"]
    without = diagnose(fading, ignore=["EF101"])
    assert "EF101" not in {o.code for o in without.outcomes}


def test_skipped_is_not_passed():
    outcomes = {o.code: o for o in diagnose(record([layer("fc", gradient=None)])).outcomes}
    assert outcomes["EF101"].skipped == "the record does not say how the operations are connected"
    assert outcomes["EF103"].skipped == "the network has no activation that the catalogue knows"
    assert outcomes["EF203"].skipped == "no gradient was measured"
    assert outcomes["EF401"].skipped == "no loss was given whose kind is known"
    assert outcomes["EF501"].skipped == "the model takes no floating-point input"
    assert not outcomes["EF305"].skipped


def test_examples_that_do_not_differ_skip_what_compares_them():
    alike = chain([1.0] * 4, shares=[0.0] * 4)
    outcomes = {o.code: o for o in diagnose(alike).outcomes}
    assert "fewer than two examples that differ" in outcomes["EF105"].skipped


def test_a_rule_that_fails_does_not_silence_the_others(monkeypatch):
    def fail(self, record):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(ExplodingForward, "check", fail)
    diagnosis = diagnose(chain(FADING))
    outcomes = {o.code: o for o in diagnosis.outcomes}
    assert outcomes["EF102"].skipped == "the rule failed: ZeroDivisionError: by nothing"
    assert diagnosis.findings[0].code == "EF101"


def test_a_cause_leads_and_is_as_grave_as_what_follows():
    diagnosis = diagnose(chain(FADING, gradients=FADING[::-1]))
    forward, backward = (f for f in diagnosis.findings if f.code in ("EF101", "EF201"))
    assert (forward.code, forward.follows) == ("EF101", "")
    assert (backward.code, backward.follows) == ("EF201", "EF101")
    assert forward.level == backward.level == "error"


def test_a_note_is_lifted_by_what_follows_from_it():
    """fc weights that are a third of what is asked for explain all of a fall of 1e-15."""
    depth = 30
    faint = chain([(1 / 3) ** i for i in range(depth)])
    small = [
        weight(f"fc{i}.weight", f"fc{i}", second=2 / 64 / 3, kurtosis=3.0) for i in range(depth)
    ]
    found = diagnose(record(faint.layers, small)).findings
    assert [(f.code, f.level, f.follows) for f in found] == [
        ("EF301", "error", ""),
        ("EF101", "error", "EF301"),
    ]


def test_a_cause_must_account_for_at_least_half_of_what_follows():
    """One weight a sixth too small explains a fall to 1/36, but not one to 1e-15."""
    small = weight("fc1.weight", "fc1", second=2 / 64 / 6)
    for left, cause in ((1 / 36, "EF301"), (1e-15, "")):
        falling = chain([left ** (i / 3) for i in range(4)])
        others = [weight(f"{node}.weight", node) for node in ("fc0", "fc2", "fc3", "head")]
        found = {f.code: f for f in diagnose(record(falling.layers, [small, *others])).findings}
        assert found["EF101"].follows == cause


def test_weights_of_different_mistakes_account_for_it_together():
    falling = chain([6.0**-i for i in range(5)])
    default = [weight(f"fc{i}.weight", f"fc{i}", 1 / (3 * 64)) for i in (1, 2)]
    axis = [weight(f"fc{i}.weight", f"fc{i}", 1 / (3 * 128), (64, 64), fan_out=128) for i in (3, 4)]
    rest = [weight("fc0.weight", "fc0"), weight("head.weight", "head")]
    found = diagnose(record(falling.layers, [*default, *axis, *rest])).findings
    assert [(f.code, f.where, f.follows) for f in found] == [
        ("EF301", "fc1.weight", ""),
        ("EF301", "fc3.weight", ""),
        ("EF101", "fc1", "EF301"),
    ]


def test_an_empty_record_is_no_crash():
    assert diagnose(record()).findings == ()
    assert not any("failed" in o.skipped for o in diagnose(record()).outcomes)
