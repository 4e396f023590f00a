from dataclasses import replace

import pytest

from evenflow.diagnose.finding import Diagnosis
from evenflow.errors import InputError
from evenflow.report import TrainingCurve
from evenflow.report.summary import key_figures
from evenflow.report.verdict import counts, outcome, ratios, verdict
from evenflow.report.words import figure

from .reports import full_report, plain_report


def test_the_worst_finding_makes_the_headline():
    said = verdict(full_report())
    assert said.level == "error"
    assert said.headline == "Vanishing forward at layers.9, and 4 more findings."
    assert "from layer layers.1 to layers.9, the second moment shrinks" in said.detail
    assert said.detail.endswith("1 rule could not be applied.")


def test_a_clean_report_says_so_and_nothing_about_skipped_rules():
    said = verdict(plain_report())
    assert (said.level, said.headline) == ("clean", "No rule found anything wrong.")
    assert "could not be applied" not in said.detail


def test_a_fault_of_the_whole_model_has_no_place():
    report = full_report()
    rule = report.diagnosis.outcomes[0]
    finding = replace(rule.findings[0], where="model")
    diagnosis = Diagnosis((replace(rule, findings=(finding,)),))
    assert verdict(replace(report, diagnosis=diagnosis)).headline == "Vanishing forward."


def test_counts_are_by_level_the_worst_first():
    assert list(counts(full_report().diagnosis).items()) == [
        ("error", 1),
        ("warning", 4),
        ("note", 0),
    ]


def test_ratios_compare_the_ends_of_each_way():
    layers = full_report().record.layers
    forward, backward = ratios(full_report().record)
    assert forward == pytest.approx(
        layers[9].forward.second_moment / layers[1].forward.second_moment
    )
    assert backward == pytest.approx(
        layers[0].backward.second_moment / layers[8].backward.second_moment
    )


def test_the_outcome_of_a_change_names_losses_and_accuracies():
    comparison = full_report().comparison
    before, after = comparison.before.curve, comparison.after.curve
    said = outcome(comparison)
    assert said.startswith("The change helped: after 60 steps the loss is ")
    assert f"is {figure(after.final_loss)} instead of {figure(before.final_loss)}" in said
    assert f"{100 * before.test_accuracies[-1]:.1f} %." in said
    untrained = TrainingCurve((), ())
    failed = replace(
        comparison,
        helped=False,
        before=replace(comparison.before, curve=untrained),
        after=replace(comparison.after, curve=untrained),
    )
    assert outcome(failed) == "The change did not help."


def test_key_figures_leave_out_what_was_not_measured():
    record = plain_report().record
    assert [figure.name for figure in key_figures(record)] == [
        "Forwards, end to end",
        "Backwards, end to end",
        "Prediction error",
        "Most saturated",
        "Loss at the start",
    ]
    nan = float("nan")
    bare = tuple(
        replace(
            layer,
            backward=None,
            predicted_forward=nan,
            predicted_backward=nan,
            saturated_share=nan,
        )
        for layer in record.layers
    )
    left = key_figures(replace(record, layers=bare, loss=None))
    assert [figure.name for figure in left] == ["Forwards, end to end"]


def test_a_signal_that_dies_is_said_to_be_lost():
    record = plain_report().record
    dead = tuple(
        replace(layer, forward=replace(layer.forward, second_moment=0.0)) for layer in record.layers
    )
    assert key_figures(replace(record, layers=dead))[0].value == "lost"


def test_curves_of_unequal_length_are_refused():
    with pytest.raises(InputError, match="2 steps but 1 losses"):
        TrainingCurve((1, 2), (0.5,))
    with pytest.raises(InputError, match="0 test steps but 1 accuracies"):
        TrainingCurve((), (), (), (0.5,))
