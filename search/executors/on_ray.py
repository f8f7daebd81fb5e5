"""Trials on Ray: a pool of actors with a warm TensorFlow, one core each.

Tasks are not retried by Ray (it would repeat a crash four times over): an actor that dies is replaced,
and the driver is told and decides.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from objectives.outcome import OUTCOME, Failed
from search.executors.base import Finished

if TYPE_CHECKING:
    from objectives.setting import Setting
    from spaces.candidate import Candidate

# TensorFlow keeps about 10 MB of every network it has seen.
GROWTH_BYTES = 1_500_000_000
TRIAL_TIMEOUT_S = 3600.0


class Worker:
    """What runs inside an actor: one evaluator, pinned to one core of those it may use."""

    def __init__(self, setting_json: str, core: int) -> None:
        import psutil

        _pin(core)
        from objectives.evaluate import Evaluator
        from objectives.setting import Setting
        from objectives.tensorflow import one_thread

        one_thread()
        self._evaluator = Evaluator(Setting.model_validate_json(setting_json))
        self._process = psutil.Process()
        self._start_bytes = 0

    def evaluate(self, candidate_json: str) -> tuple[str, int]:
        """Return the outcome as JSON, and by how many bytes this process grew since its first trial."""
        from spaces.candidate import Candidate

        outcome = self._evaluator.evaluate(Candidate.model_validate_json(candidate_json))
        rss = int(self._process.memory_info().rss)
        self._start_bytes = self._start_bytes or rss
        return outcome.model_dump_json(), rss - self._start_bytes

    def ready(self) -> bool:
        """Answer once the worker is warm."""
        return True


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

    def __init__(self, setting: Setting, workers: int, trial_timeout_s: float = TRIAL_TIMEOUT_S) -> None:
        self._setting_json = setting.model_dump_json()
        self._trial_timeout_s = trial_timeout_s
        self._seats = [_Seat(core, self._hire(core)) for core in range(workers)]

    @property
    def capacity(self) -> int:
        """One trial per worker."""
        return len(self._seats)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return once every worker is warm. Raises what went wrong in one of them."""
        import ray

        ray.get([seat.actor.ready.remote() for seat in self._seats], timeout=timeout_s)

    def _hire(self, core: int) -> Any:
        import ray

        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        return ray.remote(Worker).options(**options).remote(self._setting_json, core)

    def submit(self, number: int, candidate: Candidate) -> None:
        """Give the trial to a worker that is free."""
        seat = next(seat for seat in self._seats if seat.number is None)
        seat.number, seat.since = number, time.monotonic()
        seat.reference = seat.actor.evaluate.remote(candidate.model_dump_json())

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
            return Finished(number, Failed(error=f"the worker died ({_reason(error)})", fault="infrastructure"))
        if grown_bytes > GROWTH_BYTES:
            self._replace(seat)
        return Finished(number, OUTCOME.validate_json(outcome_json))

    def _give_up(self, seat: _Seat) -> Finished:
        number = self._leave(seat)
        self._replace(seat)
        return Finished(number, Failed(error=f"no result after {self._trial_timeout_s:.0f} s, the worker was ended"))

    def _leave(self, seat: _Seat) -> int:
        assert seat.number is not None
        number, seat.number = seat.number, None
        return number

    def _replace(self, seat: _Seat) -> None:
        import ray

        ray.kill(seat.actor)
        seat.actor = self._hire(seat.core)

    def close(self) -> None:
        """End the workers, and with them whatever they are at."""
        import ray

        for seat in self._seats:
            ray.kill(seat.actor)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    for sign, reason in (
        ("OutOfMemory", "out of memory"),
        ("memory pressure", "out of memory"),
        ("SIGSEGV", "segmentation fault"),
        ("connection error code 2", "it crashed or was killed"),
    ):
        if sign in text or sign in type(error).__name__:
            return reason
    return f"{type(error).__name__}: {text[:200]}"
