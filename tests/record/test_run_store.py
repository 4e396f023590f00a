"""The file of a run: what is written is read again, thinned, and survives a kill."""

import itertools
import multiprocessing
import os
import signal
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenflow.errors import InputError
from evenflow.record.run import Event, RunLayer, RunWeight
from evenflow.record.run_reader import read
from evenflow.record.run_sums import CELLS, QUANTITIES
from evenflow.record.run_thinning import (
    BETWEEN,
    FIRST,
    MOST,
    RECENT,
    TOGETHER,
    dropped,
    kept,
    stride,
)
from evenflow.record.run_writer import RunWriter, Sample

META = {"model": "Net", "every": "2", "optimiser": "SGD", "versions": '{"evenflow": "0"}'}


def reading(tensors, value=0.0):
    values = np.full((tensors, len(QUANTITIES)), value, np.float32)
    return values, np.full((tensors, CELLS), 7, np.uint16)


def sample(step, layers=2, weights=1, **scalars):
    names = {"forward": layers, "backward": layers, "gradients": weights}
    return Sample(step, scalars, {name: reading(n, float(step)) for name, n in names.items()})


def written(folder, steps=3):
    writer = RunWriter(folder, META)
    for k in range(2):
        writer.add_layer(k, RunLayer(f"l{k}", "Linear", shape=(4, 3), weights=("l0.weight",)))
    writer.add_weight(0, RunWeight("l0.weight", (3, 3), "l0", True, True))
    for k in range(steps):
        writer.add_sample(sample(2 * k, loss=1.0 - k / 10, learning_rate=0.1))
    return writer


def test_what_was_written_is_read(tmp_path):
    writer = written(tmp_path)
    writer.add_event(Event(3, "verdict", "l0", "said"))
    writer.tell({"total_steps": "9", "finished": "yes", "ending": '{"loss": "mse_loss"}'})
    run = read(tmp_path)  # while it is still open
    writer.close()
    assert read(tmp_path).steps.tolist() == run.steps.tolist() == [0, 2, 4]
    assert (run.model, run.every, run.optimiser, run.total_steps) == ("Net", 2, "SGD", 9)
    assert run.finished
    assert run.loss.tolist() == pytest.approx([1.0, 0.9, 0.8])
    assert np.isnan(run.norm_before).all()
    assert run.forward["mean"].tolist() == [[0, 0], [2, 2], [4, 4]]
    assert run.gradients.cells.tolist() == [[[7] * CELLS]] * 3
    assert run.layers[1].shape == (4, 3)
    assert run.weights[0].layer == "l0"
    assert run.happened("verdict") == (Event(3, "verdict", "l0", "said"),)
    assert (run.ending.loss, run.ending.before) == ("mse_loss", ())


def test_layers_that_appear_late_were_not_measured_before(tmp_path):
    writer = written(tmp_path, 1)
    writer.add_layer(2, RunLayer("late", "ReLU"))
    writer.add_sample(sample(2, layers=3))
    writer.close()
    mean = read(tmp_path).forward["mean"]
    assert np.isnan(mean[0, 2])
    assert mean[1].tolist() == [2, 2, 2]


def test_an_earlier_run_is_kept(tmp_path):
    written(tmp_path, 3).close()
    written(tmp_path, 1).close()
    assert len(read(tmp_path).steps) == 1
    assert len(read(tmp_path / "run.before.sqlite").steps) == 3


def test_a_damaged_run_is_told(tmp_path):
    written(tmp_path, 50).close()
    file = tmp_path / "run.sqlite"
    content = bytearray(file.read_bytes())
    content[5000:9000] = b"x" * 4000
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path)


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(InputError, match="there is no run here"):
        read(tmp_path)


def test_readings_of_another_length_are_told(tmp_path):
    written(tmp_path).close()
    with sqlite3.connect(tmp_path / "run.sqlite") as run:
        run.execute("UPDATE sample SET forward = x'00'")
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path)


@given(count=st.integers(0, 40_000))
def test_what_is_kept_is_bounded_and_spread_evenly(count):
    numbers = kept(count)
    assert len(numbers) <= MOST
    assert numbers[: min(count, FIRST)] == list(range(min(count, FIRST)))
    assert numbers[-RECENT:] == list(range(max(0, count - RECENT), count))
    thinned = count - count % TOGETHER
    gaps = np.diff([n for n in numbers if FIRST <= n < thinned - RECENT])
    assert len(gaps) == 0 or set(gaps.tolist()) == {stride(thinned)}


def test_what_is_dropped_step_by_step_is_what_is_not_kept():
    there: set[int] = set()
    for count in range(1, 3 * BETWEEN):
        there.add(count - 1)
        for start, end, step in dropped(count):
            there -= {n for n in there if start <= n < end and n % step}
        if count % 97 == 0 or count % TOGETHER < 2:
            assert sorted(there) == kept(count)


def test_the_file_is_thinned_as_it_grows(tmp_path):
    writer = written(tmp_path, 1500)
    writer.close()
    assert read(tmp_path).steps.tolist() == [2 * n for n in kept(1500)]


def write_for_ever(folder, told):
    """Append samples, and tell the number of each once it is written."""
    writer = written(folder, 0)
    for step in itertools.count():
        writer.add_sample(sample(step, loss=1.0))
        told.value = step


def test_a_kill_at_any_moment_loses_at_most_the_last_sample(tmp_path):
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(0)
    for attempt in range(50):
        folder, told = tmp_path / str(attempt), context.Value("q", -1, lock=False)
        process = context.Process(target=write_for_ever, args=(folder, told))
        process.start()
        while told.value < 0:
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.05)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        run = read(folder)
        assert run.steps.tolist() == kept(int(run.steps[-1]) + 1)
        assert run.steps[-1] >= told.value
        assert not run.finished
