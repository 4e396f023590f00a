"""Plans on disk: what was written is read again, and nothing else is taken for a plan."""

import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.planning.store import from_json, to_json

SIZE = st.floats(0, 1e30)
SIMPLE = st.one_of(
    st.builds(Uniform, SIZE),
    st.builds(Normal, SIZE),
    st.builds(TruncatedNormal, SIZE, st.floats(0.1, 6)),
    st.builds(Orthogonal, SIZE),
    st.builds(DeltaOrthogonal, SIZE),
    st.builds(Constant, st.floats(-1e30, 1e30)),
)
TEXT = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=20)


@st.composite
def packed(draw):
    """An entry of blocks that fill their axis."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    axis = draw(st.integers(0, 2))
    shape = [draw(st.integers(1, 5)) for _ in range(3)]
    shape[axis] = sum(sizes)
    parts = tuple(draw(SIMPLE) for _ in sizes)
    return Entry(tuple(shape), Blocks(axis, tuple(sizes), parts), draw(TEXT))


SHAPES = st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
ENTRIES = st.builds(Entry, SHAPES, st.none() | SIMPLE, TEXT) | packed()
PLANS = st.builds(
    Plan,
    TEXT,
    st.dictionaries(TEXT, ENTRIES, max_size=4),
    st.lists(TEXT, max_size=3).map(tuple),
    st.none() | st.integers(0, 2**64 - 1),
)


@settings(max_examples=150, deadline=None)
@given(PLANS)
def test_what_was_written_is_read_again(plan):
    assert from_json(to_json(plan)) == plan


PLAN = Plan(
    "auto",
    {
        "body.weight": Entry((6, 4), Blocks(0, (4, 2), (Uniform(0.5), Normal(0.25))), "packed"),
        "body.bias": Entry((6,), Constant(0.0), "bias"),
        "head.weight": Entry((2, 6), None, "left as found: frozen"),
    },
    ("a note",),
    7,
)


def test_a_plan_goes_to_a_file_and_back(tmp_path):
    PLAN.save(tmp_path / "deep" / "plan.json")
    assert Plan.load(tmp_path / "deep" / "plan.json") == PLAN


def test_the_file_can_be_read_by_people(tmp_path):
    written = json.loads(to_json(PLAN))
    assert written["evenflow_plan"] == 1
    assert written["parameters"]["body.bias"] == {
        "shape": [6],
        "distribution": {"value": 0.0, "kind": "constant"},
        "why": "bias",
    }
    assert to_json(PLAN).count("\n") > 20


def test_a_failed_save_leaves_the_old_file(tmp_path):
    target = tmp_path / "plan.json"
    PLAN.save(target)
    before = target.read_bytes()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        PLAN.save(tmp_path / "file" / "plan.json")
    assert target.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "plan.json"]


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        Plan.load(tmp_path / "none.json")
    with pytest.raises(InputError, match="directory"):
        Plan.load(tmp_path)


def changed(**changes):
    return json.dumps(json.loads(to_json(PLAN)) | changes)


def with_distribution(distribution, shape=(6, 4)):
    entry = {"shape": list(shape), "distribution": distribution, "why": ""}
    return changed(parameters={"w": entry})


NORMAL = {"kind": "normal", "std": 1.0}
HOSTILE = {
    "nothing": "",
    "a list": "[]",
    "no JSON": "{evenflow_plan: 1}",
    "deeply nested": '{"evenflow_plan": 1, "scheme": "auto", "parameters": ' + "[" * 100_000,
    "deeply nested values": '{"x":' * 100_000 + "1" + "}" * 100_000,
    "no version": "{}",
    "a version of another kind": changed(evenflow_plan="1"),
    "true as a version": changed(evenflow_plan=True),
    "unknown fields": changed(command="rm"),
    "a scheme that is no text": changed(scheme=3),
    "parameters that are a list": changed(parameters=[]),
    "a negative seed": changed(seed=-1),
    "a huge seed": changed(seed=2**64),
    "a seed that is no integer": changed(seed=0.5),
    "a vast seed": '{"evenflow_plan": 1, "scheme": "", "parameters": {}, "seed": '
    + "9" * 5000
    + "}",
    "escape sequences in a note": changed(notes=["\x1b[2J"]),
    "escape sequences in a name": changed(parameters={"\x1b]0;x": {}}),
    "a negative size": with_distribution(NORMAL, (-6, 4)),
    "a fractional size": with_distribution(NORMAL, (6.5, 4)),
    "an unknown distribution": with_distribution({"kind": "cauchy", "scale": 1.0}),
    "no kind": with_distribution({"std": 1.0}),
    "a kind that is no text": with_distribution({"kind": ["normal"], "std": 1.0}),
    "a distribution that is a number": with_distribution(3),
    "NaN": with_distribution({"kind": "normal", "std": float("nan")}),
    "infinity": with_distribution({"kind": "normal", "std": float("inf")}),
    "a number out of range": with_distribution(NORMAL).replace("1.0", "1e999"),
    "a negative width": with_distribution({"kind": "normal", "std": -1.0}),
    "text for a number": with_distribution({"kind": "normal", "std": "1"}),
    "true for a number": with_distribution({"kind": "normal", "std": True}),
    "a missing field": with_distribution({"kind": "normal"}),
    "an unknown field": with_distribution(NORMAL | {"mean": 1.0}),
    "a truncation at zero": with_distribution({"kind": "truncated_normal", "std": 1, "cut": 0}),
    "blocks that do not fill": with_distribution(
        {"kind": "blocks", "axis": 0, "sizes": [4, 1], "parts": [NORMAL, NORMAL]}
    ),
    "blocks off the axes": with_distribution(
        {"kind": "blocks", "axis": 9, "sizes": [6], "parts": [NORMAL]}
    ),
    "blocks of a negative axis": with_distribution(
        {"kind": "blocks", "axis": -1, "sizes": [4], "parts": [NORMAL]}
    ),
    "blocks of negative sizes": with_distribution(
        {"kind": "blocks", "axis": 0, "sizes": [8, -2], "parts": [NORMAL, NORMAL]}
    ),
    "fewer parts than blocks": with_distribution(
        {"kind": "blocks", "axis": 0, "sizes": [3, 3], "parts": [NORMAL]}
    ),
    "no parts": with_distribution({"kind": "blocks", "axis": 0, "sizes": [], "parts": []}),
    "blocks in blocks": with_distribution(
        {
            "kind": "blocks",
            "axis": 0,
            "sizes": [6],
            "parts": [{"kind": "blocks", "axis": 0, "sizes": [6], "parts": [NORMAL]}],
        }
    ),
    "blocks without sizes": with_distribution({"kind": "blocks", "axis": 0, "parts": [NORMAL]}),
    "bytes that are no text": b'{"evenflow_plan": 1, "scheme": "\xff\xfe"}',
    "half a surrogate": changed().replace("auto", "\\ud800"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_plan_is_refused_with_a_message(case):
    with pytest.raises(PlanError) as error:
        from_json(HOSTILE[case], where="plan.json")
    assert len(str(error.value)) < 2000
    assert str(error.value).encode()  # it can be printed


def test_another_version_is_named_with_what_to_do():
    with pytest.raises(PlanError, match="version 2; this evenflow reads version 1") as error:
        from_json(changed(evenflow_plan=2, something="new"))
    assert "install the evenflow that wrote it" in error.value.remedy


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_plan_is_read_or_refused_but_never_crashes(data):
    text = to_json(PLAN)
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    put = data.draw(st.text(string.printable, max_size=6))
    try:
        plan = from_json(text[:start] + put + text[start + length :])
    except PlanError:
        return
    assert from_json(to_json(plan)) == plan


@pytest.mark.parametrize("length", range(0, 500, 7))
def test_a_truncated_plan_is_refused(length):
    with pytest.raises(PlanError):
        from_json(to_json(PLAN)[:length])
