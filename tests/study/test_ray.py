"""The engine ray, where Ray is installed: the numbers of the local one, also when a worker dies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lost_worker import Killer

from evenflow.study.folder import Folder
from evenflow.study.networks import Network
from evenflow.study.runner import Settings, run_trials
from evenflow.study.trial import Trial

ray = pytest.importorskip("ray")


@pytest.fixture(autouse=True, scope="module")
def _down():
    yield
    ray.shutdown()


def trials(updates: int) -> list[Trial]:
    network = Network(hidden=(8, 8), activation="tanh", scheme="glorot")
    return [
        Trial(
            data="shapeset",
            network=network,
            rate=0.1,
            updates=updates,
            seed=seed,
            test_images=100,
        )
        for seed in (0, 1)
    ]


def run(folder: Path, wanted: list[Trial], engine: str) -> list[dict[str, np.ndarray]]:
    run_trials(folder, lambda _lookup: wanted, Settings(engine=engine))
    results = [Folder(folder).result(trial) for trial in wanted]
    assert all(result is not None for result in results)
    return results


def same(some: list[dict[str, np.ndarray]], others: list[dict[str, np.ndarray]]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_ray_gives_the_numbers_of_the_local_engine(tmp_path: Path) -> None:
    wanted = trials(60)
    same(run(tmp_path / "ray", wanted, "ray"), run(tmp_path / "local", wanted, "local"))


def test_a_trial_whose_worker_dies_goes_on_in_another(tmp_path: Path) -> None:
    wanted = trials(20_000)
    lock = tmp_path / "ray" / "trials" / wanted[0].key / "lock"
    killer = Killer(b"ray::_carry_out", lock.exists)
    found = run(tmp_path / "ray", wanted, "ray")
    assert killer.killed
    same(found, run(tmp_path / "local", wanted, "local"))
