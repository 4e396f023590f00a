"""The rules against real trainings: sound ones in peace, faulty ones told by their cause."""

import pytest
from trainings import FAULTY, HEALTHY

from evenflow.diagnose.training import diagnose_run

CASES = [(code, k) for code, trainings in FAULTY.items() for k in range(len(trainings))]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_sound_training_is_left_in_peace(tmp_path, name):
    run = HEALTHY[name].run(tmp_path)
    diagnosis = diagnose_run(run)
    assert [f for f in diagnosis.findings if f.level != "note"] == []
    assert [o for o in diagnosis.outcomes if "failed" in o.skipped] == []
    assert run.loss[-1] < run.loss[0]


def test_what_follows_from_a_signal_that_vanishes_is_told_under_it(tmp_path):
    findings = diagnose_run(FAULTY["EF710"][0].run(tmp_path)).findings
    follows = {f.code: f.follows for f in findings}
    assert follows["EF804"] == "EF710"


@pytest.mark.parametrize(("code", "number"), CASES)
def test_a_faulty_training_is_told_by_its_cause(tmp_path, code, number):
    diagnosis = diagnose_run(FAULTY[code][number].run(tmp_path))
    assert [o for o in diagnosis.outcomes if "failed" in o.skipped] == []
    first = diagnosis.findings[0]
    assert first.code == code, [(f.code, f.follows, f.measured) for f in diagnosis.findings]
    assert first.follows == ""
