import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from evenflow.diagnose.finding import Diagnosis
from evenflow.report.layers import brief, flagged, groups_of, labels, main_path, notable, thin

from .networks import measured
from .reports import deep_report, full_report, plain_report


def nodes(layers):
    return [layer.node for layer in layers]


def test_the_main_path_follows_activations_forwards_and_hidden_sums_backwards():
    record = measured("glorot")
    assert nodes(main_path(record, "forward")) == [f"tanh_{k}" for k in range(5)]
    assert nodes(main_path(record, "backward")) == [f"linear_{k}" for k in range(5)]


def test_the_main_path_of_a_linear_network_is_its_sums():
    record = measured("glorot")
    linear = replace(record, layers=tuple(x for x in record.layers if x.op == "linear"))
    for direction in ("forward", "backward"):
        assert nodes(main_path(linear, direction)) == [f"linear_{k}" for k in range(6)]


def test_the_main_path_backwards_is_empty_without_gradients():
    record = measured("glorot")
    forward = replace(record, layers=tuple(replace(x, backward=None) for x in record.layers))
    assert main_path(forward, "backward") == ()


def test_groups_tell_weights_from_what_merely_has_parameters():
    groups = groups_of(deep_report().record)
    assert groups["encoder_layer_0_linear"] == "weighted sums"
    assert groups["encoder_layer_0_tanh"] == "activations"
    assert groups["encoder_layer_0_layer_norm"] == "other operations"


def test_a_module_with_several_operations_lends_its_name_to_none():
    first, second, third = measured("glorot").layers[:3]
    named = labels([first, replace(second, layer=first.layer), third, replace(first, layer="")])
    assert named == {"linear_0": "linear_0", "tanh_0": "tanh_0", "linear_1": "layers.2"}


@given(st.lists(st.integers(), unique=True), st.integers(2, 30))
def test_thin_is_an_even_part_with_both_ends(items, limit):
    part = thin(items, limit)
    places = [items.index(item) for item in part]
    assert len(part) == min(len(items), limit)
    assert places == sorted(set(places))
    if items:
        assert (part[0], part[-1]) == (items[0], items[-1])
        gaps = {b - a for a, b in itertools.pairwise(places)}
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_brief_leaves_out_the_modules_that_all_stand_in():
    names = [f"model.encoder.layer.{k}.mlp.act" for k in (0, 11)]
    assert brief(names, 18) == ("model.encoder.layer", ["0.mlp.act", "11.mlp.act"])
    assert brief(names, 40) == ("", names)
    assert brief(["a" * 30, "b" * 30], 11) == ("", ["aaaaa…aaaaa", "bbbbb…bbbbb"])


def test_findings_flag_layers_by_module_parameter_and_further_places():
    report = full_report()
    assert flagged(report.record, report.diagnosis) == {
        "tanh_4",
        "linear_1",
        "linear_2",
        "linear_3",
        "linear_4",
    }
    worst = report.diagnosis.outcomes[0]
    finding = replace(worst.findings[0], others=("tanh_0",))
    diagnosis = replace(report.diagnosis, outcomes=(replace(worst, findings=(finding,)),))
    assert flagged(report.record, diagnosis) == {"tanh_4", "tanh_0"}


def test_notable_layers_are_those_that_findings_name_and_then_the_others():
    report = deep_report()
    listed = notable(report.record, report.diagnosis, 340)
    assert len(listed) == 340
    assert sum(layer.op == "linear" for layer in listed) == 300
    assert [layer.depth for layer in listed] == sorted(layer.depth for layer in listed)
    assert len(notable(report.record, report.diagnosis, 40)) == 40
    healthy = notable(report.record, Diagnosis(()), 41)
    assert [layer.depth for layer in healthy] == [*range(21), *range(880, 900)]
    assert len(notable(report.record, Diagnosis(()), 2000)) == 900
    assert len(notable(report.record, report.diagnosis, 301)) == 301
    assert (
        notable(plain_report().record, plain_report().diagnosis, 40) == plain_report().record.layers
    )
