"""Trials on Ray: a pool of actors with a warm TensorFlow, one core each.

Tasks are not retried by Ray (it would repeat a crash four times over): an actor that dies is replaced,
and the driver is told and decides.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.brief import Brief
from objectives.outcome import OUTCOME, Failed
from search.errors import StudyError
from search.executors.base import NOTHING_KNOWN, Finished

if TYPE_CHECKING:
    from objectives.setting import Setting
    from search.executors.base import Evaluates
    from spaces.candidate import Candidate

# TensorFlow keeps about 10 MB of every network it has seen.
GROWTH_BYTES = 1_500_000_000


class Worker:
    """What runs inside an actor: one evaluator, pinned to one core of those it may use."""

    def __init__(self, setting_json: str, core: int, folder: str) -> None:
        """Keep what `ready` needs; `folder` is the driver's, in which a user's own modules lie."""
        self._setting_json, self._folder = setting_json, folder
        self._evaluator: Any = None
        self._start_bytes = 0
        _pin(core)

    def ready(self) -> str | None:
        """Warm up: import TensorFlow, open the data. Return what went wrong, in one line, or None."""
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver has to be told
            return " ".join(f"{type(error).__name__}: {error}".split())
        return None

    def _warm_up(self) -> None:
        if self._evaluator is not None:
            return
        if self._folder not in sys.path:
            sys.path.append(self._folder)  # appended: a user's own search.py must not shadow ours
        from objectives.setting import Setting

        self._evaluator = self.evaluator(Setting.model_validate_json(self._setting_json))

    def evaluator(self, setting: Setting) -> Evaluates:
        """Return what evaluates candidates here."""
        from objectives.evaluate import Evaluator
        from objectives.tensorflow import one_thread
        from objectives.warm import warm_up
        from objectives.warm_child import converting

        converting()  # first, for it takes as long to come up as all that follows
        one_thread()
        opened = Evaluator(setting)
        warm_up()
        return opened

    def evaluate(self, candidate_json: str, brief_json: str) -> tuple[str, int]:
        """Return the outcome as JSON, and by how many bytes this process grew since its first trial."""
        import psutil

        from spaces.candidate import Candidate

        self._warm_up()
        brief = Brief.model_validate_json(brief_json)
        outcome = self._evaluator.evaluate(Candidate.model_validate_json(candidate_json), brief)
        rss = int(psutil.Process().memory_info().rss)
        self._start_bytes = self._start_bytes or rss
        return outcome.model_dump_json(), rss - self._start_bytes


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


@dataclass
class _Seat:
    """One place in the pool: its actor and what that is at."""

    core: int
    actor: Any
    number: int | None = None
    reference: Any = None
    since: float = field(default_factory=time.monotonic)


class RayExecutor:
    """A pool of `workers` actors on the Ray cluster that this process is connected to."""

    def __init__(
        self,
        setting: Setting,
        workers: int,
        trial_timeout_s: float = inf,
        worker: type[Worker] = Worker,
    ) -> None:
        """Hire the workers. Raises StudyError where the cluster has fewer cores than that."""
        self._setting_json = setting.model_dump_json()
        self._trial_timeout_s, self._worker = trial_timeout_s, worker
        _refuse_too_many(workers)
        self._seats = [_Seat(core, self._hire(core)) for core in range(workers)]

    @property
    def capacity(self) -> int:
        """One trial per worker."""
        return len(self._seats)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return once every worker is warm. Raises StudyError with what went wrong in one of them."""
        import ray

        waiting = [seat.actor.ready.remote() for seat in self._seats]
        try:
            wrong = [reason for reason in ray.get(waiting, timeout=timeout_s) if reason]
        except ray.exceptions.GetTimeoutError as error:
            raise StudyError(
                f"the workers were not ready after {timeout_s:.0f} s: is the machine or the cluster busy "
                "with something else? give fewer --workers"
            ) from error
        except ray.exceptions.RayError as error:
            raise StudyError(
                f"a worker died while it started ({_reason(error)}); give fewer --workers"
            ) from error
        if wrong:
            raise StudyError(f"a worker cannot start ({wrong[0]}); `edgesearch doctor` tells what is missing")

    def _hire(self, core: int) -> Any:
        import ray

        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        return ray.remote(self._worker).options(**options).remote(self._setting_json, core, str(Path.cwd()))

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        """Give the trial to a worker that is free. Raises RuntimeError where none is."""
        seat = next((seat for seat in self._seats if seat.number is None), None)
        if seat is None:
            raise RuntimeError(f"at most {self.capacity} trials may be under way, got {number} on top")
        seat.number, seat.since = number, time.monotonic()
        seat.reference = seat.actor.evaluate.remote(candidate.model_dump_json(), brief.model_dump_json())

    def next(self, timeout_s: float) -> Finished | None:
        """Wait for a trial to come back, or for one to outlive its time."""
        import ray

        busy = {seat.reference: seat for seat in self._seats if seat.number is not None}
        if not busy:
            return None
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=timeout_s)
        if ready:
            return self._collect(busy[ready[0]])
        late = [seat for seat in busy.values() if time.monotonic() - seat.since > self._trial_timeout_s]
        return self._give_up(late[0]) if late else None

    def _collect(self, seat: _Seat) -> Finished:
        import ray

        number = self._leave(seat)
        try:
            outcome_json, grown_bytes = ray.get(seat.reference)
        except ray.exceptions.RayError as error:
            self._replace(seat)
            return Finished(
                number, Failed(error=f"the worker died: {_reason(error)}", fault="infrastructure")
            )
        if grown_bytes > GROWTH_BYTES:
            self._replace(seat)
        return Finished(number, OUTCOME.validate_json(outcome_json))

    def _give_up(self, seat: _Seat) -> Finished:
        number = self._leave(seat)
        self._replace(seat)
        late = f"no result after {self._trial_timeout_s:.0f} s, the worker was ended"
        return Finished(number, Failed(error=f"{late}; --trial-timeout allows more"))

    def _leave(self, seat: _Seat) -> int:
        assert seat.number is not None
        number, seat.number = seat.number, None
        return number

    def _replace(self, seat: _Seat) -> None:
        import ray

        ray.kill(seat.actor)
        seat.actor = self._hire(seat.core)

    def close(self) -> None:
        """End the workers, and with them whatever they are at; may be called again."""
        import ray

        for seat in self._seats:
            with contextlib.suppress(Exception):  # a cluster that went took its workers along
                ray.kill(seat.actor)


def _refuse_too_many(workers: int) -> None:
    """Refuse more workers than cores: Ray would leave the last ones waiting for ever, without a word."""
    import ray

    there = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    if workers > there:
        raise StudyError(
            f"the Ray cluster has {there} cores, too few for {workers} workers; give --workers {there}"
        )


def _reason(error: Exception) -> str:
    """Return in a few words what Ray says, at length, of how a worker ended.

    Ray does not tell a segmentation fault from a kill: its text names both as possible causes.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    for sign, reason in (
        ("OutOfMemory", "out of memory"),
        ("memory pressure", "out of memory"),
        ("connection error code 2", "it crashed or was killed"),
    ):
        if sign in text:
            return reason
    return text[:200]
