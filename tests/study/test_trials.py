"""Trials and result folders: same numbers wherever they ran and however often they were stopped."""

import pickle
import random
import sqlite3
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
import torch
from lost_worker import Killer

from evenflow.errors import InputError
from evenflow.study import work as work_module
from evenflow.study.folder import Folder
from evenflow.study.index import Index
from evenflow.study.networks import Network
from evenflow.study.runner import Settings, Stopped, run_trials
from evenflow.study.training.run import DONE
from evenflow.study.trial import Trial
from evenflow.study.work import Place, work


def trial(seed=0, **changes):
    given = {
        "data": "shapeset",
        "network": Network(hidden=(8, 8), activation="tanh", scheme="glorot"),
        "rate": 0.1,
        "updates": 60,
        "seed": seed,
        "evaluations": 3,
        "observations": 3,
        "test_images": 200,
    }
    return Trial(**(given | changes))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, None, "cpu", tmp_path / "stop", runner=work_module.os.getpid())


def run(path, trials, **settings):
    run_trials(path, lambda _lookup: trials, Settings(**settings))
    return Folder(path)


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_the_key_is_that_of_the_values_alone():
    assert pickle.loads(pickle.dumps(trial())).key == trial().key
    assert trial(seed=1).key != trial().key


def test_a_result_has_what_every_figure_needs(tmp_path):
    result = run(tmp_path, [trial()]).result(trial())
    assert result["evaluated_at"].tolist() == [0, 20, 40, 60]
    assert result["observed_at"].tolist() == [0, 20, 40, 50, 60]
    assert result["activation_mean"].shape == (5, 2)
    assert result["gradient_histogram"].shape == (5, 2, 60)
    assert result["weight_gradient_sd"].shape == (5, 3)
    assert result["singular_values"].shape == (2, 1, 1, 8)
    assert result["wrong"].shape == (1, 200)
    assert result["wrong"].mean() == result["test_error"][-1]
    assert not any(key.startswith("state.") for key in result)


def test_a_trial_that_was_stopped_ends_with_the_same_numbers(tmp_path, place, monkeypatch):
    whole = run(tmp_path / "whole", [trial()]).result(trial())
    monkeypatch.setattr(work_module, "CHUNK", 7)
    told = iter([False, True])  # at the start, and after the first chunk
    monkeypatch.setattr(work_module, "_told_to_stop", lambda _place: next(told, False))
    folder = Folder(tmp_path)
    folder.index.add([(trial().key, trial().label, 60)])
    assert work(place, [trial()]) == "stopped"
    assert folder.checkpoint(trial())[DONE][0] == 7
    assert folder.index.rows()[0].done == 7
    assert work(place, [trial()]) == "done"
    same(folder.result(trial()), whole)
    assert folder.checkpoint(trial()) is None


def test_a_process_killed_at_random_moments_ends_with_the_same_numbers(tmp_path):
    long = trial(updates=4000)
    script = f"""
from pathlib import Path
import msgspec
from evenflow.study import work
from evenflow.study.runner import Settings, run_trials
from evenflow.study.trial import Trial
work.SAVE_EVERY = 0.0
trial = msgspec.json.decode({msgspec.json.encode(long)!r}, type=Trial)
run_trials(Path({str(tmp_path / "killed")!r}), lambda _lookup: [trial], Settings())
"""
    folder, moments = Folder(tmp_path / "killed"), random.Random(0)
    kills = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script])
        before = kills[-1] if kills else 0
        while process.poll() is None:
            saved = folder.checkpoint(long)
            if saved is not None and saved[DONE][0] > before:
                time.sleep(moments.uniform(0, 0.2))
                process.kill()
                break
            time.sleep(0.01)
        process.wait()
        saved = folder.checkpoint(long)
        kills.append(4000 if saved is None else saved[DONE][0])
    assert 0 < kills[0] < 4000  # it was under way
    subprocess.run([sys.executable, "-c", script], check=True)
    same(folder.result(long), run(tmp_path / "calm", [long]).result(long))


def test_networks_of_one_shape_may_advance_together(tmp_path, place):
    pair = [trial(), trial(network=Network(hidden=(8, 8), activation="tanh", scheme="heuristic"))]
    alone = run(tmp_path / "alone", pair)
    assert work(place, pair) == "done"
    for each in pair:
        together, apart = Folder(tmp_path).result(each), alone.result(each)
        np.testing.assert_allclose(
            together["training_cost"][1:], apart["training_cost"][1:], rtol=1e-5
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is at hand")
def test_trials_on_a_gpu_have_the_numbers_of_the_processor(tmp_path, place):
    trials = [trial(seed, rate=rate) for seed, rate in ((0, 0.1), (1, 0.03))]
    assert work(place._replace(device="cuda"), trials) == "done"
    here = run(tmp_path / "here", trials)
    for each in trials:
        there, apart = Folder(tmp_path).result(each), here.result(each)
        for key in ("activation_sd", "gradient_sd", "weight_gradient_sd"):
            np.testing.assert_allclose(there[key], apart[key], rtol=1e-3, err_msg=key)
        np.testing.assert_allclose(
            there["training_cost"][1:], apart["training_cost"][1:], rtol=1e-4
        )


def test_two_workers_give_the_numbers_of_one(tmp_path):
    trials = [trial(seed) for seed in range(3)]
    one, two = run(tmp_path / "1", trials), run(tmp_path / "2", trials, jobs=2)
    for each in trials:
        same(one.result(each), two.result(each))
    assert [row.state for row in two.index.rows()] == ["done"] * 3


def test_nothing_finished_is_computed_again(tmp_path, monkeypatch):
    run(tmp_path, [trial()])
    monkeypatch.setattr(work_module, "Course", None)
    run(tmp_path, [trial()])
    (tmp_path / "index.sqlite").unlink()  # a lost index is built anew from the results
    assert run(tmp_path, [trial()]).index.rows()[0].state == "done"


def test_a_trial_that_another_process_has_is_left_to_it(tmp_path, place):
    with Folder(tmp_path).claimed(trial()) as ours:
        assert ours
        assert work(place, [trial()]) == "elsewhere"


def test_a_failed_trial_is_noted_and_does_not_stop_the_rest(tmp_path):
    folder = run(tmp_path, [trial(data="nowhere"), trial()])
    bad, good = folder.index.rows()
    assert bad.state == "failed"
    assert "there is no data set 'nowhere'" in bad.message
    assert good.state == "done"
    assert folder.result(trial()) is not None


def test_a_later_wish_may_rest_on_an_earlier_result(tmp_path):
    def wanted(lookup):
        yield trial()
        if lookup(trial()) is not None:
            yield trial(seed=1)

    run_trials(tmp_path, wanted, Settings())
    assert Folder(tmp_path).result(trial(seed=1)) is not None


def test_ctrl_c_stops_and_the_next_run_goes_on(tmp_path, monkeypatch):
    def interrupt(*_arguments):
        work_module.signal.raise_signal(work_module.signal.SIGINT)

    monkeypatch.setattr(Folder, "checkpoint", interrupt)
    with pytest.raises(Stopped):
        run(tmp_path, [trial()])
    monkeypatch.undo()
    assert Folder(tmp_path).checkpoint(trial())[DONE][0] == 20
    assert run(tmp_path, [trial()]).result(trial()) is not None
    assert not list(tmp_path.glob("stop.*"))


def test_a_folder_of_another_version_is_refused(tmp_path):
    Index(tmp_path).note("version", "0")
    with pytest.raises(InputError, match="the result folder has version 0"):
        Folder(tmp_path)


def test_a_damaged_index_is_named_with_what_to_do(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="builds it anew"):
        Folder(tmp_path)


def test_a_damaged_checkpoint_fails_its_trial_alone_and_says_which_file(tmp_path):
    folder = Folder(tmp_path)
    with folder.claimed(trial()):
        path = tmp_path / "trials" / trial().key / "checkpoint.safetensors"
        path.write_bytes(b"damaged")
    message = run(tmp_path, [trial()]).index.rows()[0].message
    assert str(path) in message
    assert "delete it" in message


def test_a_full_disk_fails_the_trial_with_a_message(tmp_path, monkeypatch):
    def full(*_arguments, **_notes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evenflow.atomic.os.fsync", full)
    rows = run(tmp_path, [trial()]).index.rows()
    assert rows[0].state == "failed"
    assert "No space left on device" in rows[0].message


def test_a_lost_worker_is_told_and_nothing_is_lost(tmp_path):
    quick, long = trial(), [trial(seed, updates=3000) for seed in (1, 2)]
    finished = run(tmp_path / "lost", [quick]).result(quick)
    locks = [tmp_path / "lost" / "trials" / each.key / "lock" for each in long]
    killer = Killer(b"LokyProcess", lambda: all(lock.exists() for lock in locks))
    with pytest.raises(InputError, match="a worker process was killed") as caught:
        run(tmp_path / "lost", [quick, *long], jobs=2)
    assert killer.killed
    assert "run the same command again" in str(caught.value)
    folder = run(tmp_path / "lost", [quick, *long])
    same(folder.result(quick), finished)
    calm = run(tmp_path / "calm", long)
    for each in long:
        same(folder.result(each), calm.result(each))


def test_an_index_takes_writers_at_once(tmp_path):
    first, second = Index(tmp_path), Index(tmp_path)
    first.add([("a", "a", 1)])
    second.add([("a", "a", 1), ("b", "b", 1)])
    first.tell("b", "running", 0, 3.0)
    assert [(row.key, row.state) for row in second.rows()] == [("a", "waiting"), ("b", "running")]
    mode = sqlite3.connect(tmp_path / "index.sqlite").execute("PRAGMA journal_mode").fetchone()
    assert mode == ("wal",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": 0.0}, "learning rate"),
        ({"updates": -1}, "at least 0"),
        ({"method": "magic"}, "no method 'magic'"),
    ],
)
def test_impossible_trials_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        trial(**change)
