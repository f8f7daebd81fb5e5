"""Opens executors for a study: as many as it takes, one after the other, on one Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from objectives.setting import Setting
from search.interrupts import terminable

if TYPE_CHECKING:
    from types import TracebackType

    from search.executors.base import Executor
    from search.places import Places
    from search.plan import StudyPlan

READY_TIMEOUT_S = 600.0
EXECUTORS = ("ray", "in-process")

Open = Callable[[Setting], "Executor"]
"""Makes an executor of ours for a setting; the study closes it."""


class Pools:
    """Executors of one kind: `ray`, `in-process`, or what a function makes. A context manager.

    Ray is started with the first of them and ended with the block.
    """

    def __init__(self, kind: str | Open, plan: StudyPlan, places: Places) -> None:
        self._kind, self._places = kind, places
        self._workers, self._trial_timeout_s = plan.workers or cores(), plan.trial_timeout_s
        self._stack, self._started = ExitStack(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def open(self, setting: Setting) -> Iterator[Executor]:
        """Open an executor for the setting, warm, and end it afterwards."""
        pool = self._ray(setting) if self._kind == "ray" else _local(self._kind, setting)
        try:
            yield pool
        finally:
            pool.close()

    def _ray(self, setting: Setting) -> Executor:
        from search.executors.on_ray import RayExecutor

        self._start_ray()
        pool = RayExecutor(setting, self._workers, self._trial_timeout_s)
        try:
            pool.wait_until_ready(READY_TIMEOUT_S)
        except BaseException:
            pool.close()
            raise
        return pool

    def _start_ray(self) -> None:
        from search.ray_cluster import start_ray

        if self._started:
            return
        self._stack.enter_context(start_ray(self._places.home, self._places.ray, self._workers))
        self._stack.enter_context(terminable())  # Ray has put a handler of its own in the place of ours
        self._started = True


def _local(kind: str | Open, setting: Setting) -> Executor:
    if not isinstance(kind, str):
        return kind(setting)
    from search.executors.inprocess import InProcessExecutor

    return InProcessExecutor(setting)


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
