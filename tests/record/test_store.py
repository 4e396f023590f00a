"""Records on disk: what is written is read again, and nothing else is accepted."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.record.record import LayerRecord, LossRecord, Record, WeightRecord
from evenflow.record.statistics import measure
from evenflow.record.store import VERSION, from_json, load, save, to_json


@pytest.fixture
def record():
    x = np.random.default_rng(0).normal(size=(8, 5))
    bad = np.array([[1.0, np.nan], [np.inf, 2.0]])
    forward = measure(x, unit_axis=1)
    return Record(
        model="Net",
        layers=(
            LayerRecord("linear", "NaN", "linear", (8, 5), 0, forward, None, ("w",)),
            LayerRecord("relu", "act", "relu", (8, 5), 1, measure(bad, unit_axis=1), forward),
        ),
        weights=(
            WeightRecord(
                "w", (5, 5), "linear", True, measure(x, unit_axis=None, example_axis=None)
            ),
        ),
        inputs={"x": forward},
        loss=LossRecord(2.3, "cross_entropy", math.inf),
        trace="export",
        versions={"numpy": np.__version__},
    )


def test_a_record_comes_back_as_it_was(record, tmp_path):
    save(record, tmp_path / "record.json")
    back = load(tmp_path / "record.json")
    # NaN differs from itself, so the two are compared as text, in which all of it is spelt out.
    assert repr(back) == repr(record)
    assert back.layers[0].layer == "NaN"
    assert math.isnan(back.layers[0].predicted_forward)
    assert back.loss is not None
    assert back.loss.chance == math.inf


def test_a_file_is_replaced_whole(record, tmp_path):
    path = tmp_path / "record.json"
    save(record, path)
    save(replace(record, model="Other"), path)
    assert load(path).model == "Other"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_plain_json(record):
    assert json.loads(to_json(record))["version"] == VERSION


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"[1, 2]", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"[" * 200_000, "damaged"),
        (b"{}", "no evenflow record"),
        (b'{"format": "evenflow-record", "version": 99}', "schema version 99"),
        (b'{"format": "evenflow-record", "version": 1}', "missing required field `record`"),
        (b'{"format": "evenflow-record", "version": 1, "record": {"model": 3}}', "Expected `str`"),
    ],
)
def test_what_is_no_record_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        from_json(data)


def test_every_truncation_is_refused(record):
    data = to_json(record)
    for end in range(0, len(data.rstrip()) - 1, 97):
        with pytest.raises(InputError):
            from_json(data[:end])


def test_wrong_types_are_refused_with_their_place(record):
    plain = json.loads(to_json(record))
    plain["record"]["layers"][1]["depth"] = "deep"
    with pytest.raises(InputError, match=r"layers\[1\].depth"):
        from_json(json.dumps(plain).encode())


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        load(tmp_path / "none.json")
    with pytest.raises(InputError, match="could not be read"):
        load(tmp_path)
