"""Engines: how units of work are spread over processes. Scheduling is left to joblib and Ray."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterator, Sequence

from evenflow.errors import InputError
from evenflow.study.kinds import AnyTrial
from evenflow.study.work import Outcome, Place, work

Unit = Sequence[AnyTrial]
"""Trials that one worker carries out together."""
Told = tuple[str, Outcome]
"""The key of a trial and what came of it."""
Spread = Callable[[Place, Sequence[Unit]], Iterator[Told]]
"""Carries out units, and tells of each trial as it ends."""

ENGINES = ("local", "ray")
_PATIENCE = 10.0
"""Seconds until a cluster that does not answer is given up; Ray itself waits for many minutes."""


def engine(name: str, jobs: int, address: str | None = None) -> Spread:
    """The engine of that name, with ``jobs`` units at a time (Ray: as many as it has processors).

    Raises InputError for an unknown name, and for Ray where it is not installed.
    """
    if name == "local":
        return _local(jobs)
    if name == "ray":
        return _ray(address)
    raise InputError(f"there is no engine {name!r}", remedy=f"choose one of {', '.join(ENGINES)}")


def _local(jobs: int) -> Spread:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import BrokenProcessPool

    def spread(place: Place, units: Sequence[Unit]) -> Iterator[Told]:
        if jobs == 1:
            for unit in units:
                yield from _carry_out(place, unit)
            return
        with parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
            # joblib replaces workers whose memory has grown, which data sets make it do.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs)
            try:
                for told in parallel(delayed(_carry_out)(place, unit) for unit in units):
                    yield from told
            except BrokenProcessPool as error:
                raise InputError(
                    "a worker process was killed, perhaps for want of memory; nothing is lost",
                    where=str(place.folder),
                    remedy="run the same command again, with fewer --jobs if memory is short",
                ) from error

    return spread


def _ray(address: str | None) -> Spread:
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "the engine ray needs Ray, which is not installed",
            remedy='pip install "evenflow[ray]"',
        ) from error

    def spread(place: Place, units: Sequence[Unit]) -> Iterator[Told]:
        if not ray.is_initialized():
            _answers(address)
            ray.init(address=address, log_to_driver=False)
        # A worker that dies is replaced; its trials go on from where they were saved.
        remote = ray.remote(num_cpus=1, max_retries=-1)(_carry_out)
        waiting = [remote.remote(place, unit) for unit in units]
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready[0])

    return spread


def _answers(address: str | None) -> None:
    """Raise InputError where nobody listens at ``host:port``; other addresses are Ray's own."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster answers at {address}: {error}",
            remedy="start one by `ray start --head`, or leave out --address to use this machine",
        ) from error


def _carry_out(place: Place, unit: Unit) -> list[Told]:
    outcome = work(place, unit)
    return [(trial.key, outcome) for trial in unit]
