"""What limits a study: its workers, its driver, the device that measures, or the data."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from spaces.value import Value

Cause = Literal["workers", "driver", "device", "data"]
WINDOW = 64
"""So many trials that came back last are looked at, four a worker at least: a study changes as it goes on."""
STAGES: Mapping[str, Cause] = {"measure": "device", "reduce": "data"}
"""Whose time a stage of a trial is; of all others it is the worker's own."""


class Limiting(Value):
    """What a study spends most of its time with, and how much of that time is taken, in [0, 1].

    `workers`, `device` and `data` share the time of the workers: computing, waiting for a device and
    measuring on it, reducing the inputs. `driver` is the share of the time in which it asks and tells.
    """

    cause: Cause
    share: Annotated[float, Field(ge=0, le=1)]


class _Return(NamedTuple):
    """A trial that came back: when, what the driver had done until then, what its workers did for it."""

    at_s: float
    driven_s: float
    spent_s: Mapping[Cause, float]


class Utilisation:
    """Adds up who was busy while the last trials came back; each call takes the same short time."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers, self._clock = max(1, workers), clock
        self._window = max(WINDOW, 4 * self._workers)
        self._returns = deque([_Return(clock(), 0.0, {})], maxlen=self._window + 1)
        self._driven_s = 0.0
        self._spent_s: dict[Cause, float] = {"workers": 0.0, "device": 0.0, "data": 0.0}

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Count the time that the block takes as the driver's own."""
        start = self._clock()
        try:
            yield
        finally:
            self._driven_s += self._clock() - start

    def came_back(self, stages: Mapping[str, float], seconds: float) -> None:
        """Take note of a trial: its seconds by stage, or, where nothing tells them, in all."""
        spent: dict[Cause, float] = {"workers": 0.0, "device": 0.0, "data": 0.0}
        for stage, taken in (stages or {"all": seconds}).items():
            spent[STAGES.get(stage, "workers")] += taken
        if len(self._returns) > self._window:
            self._add(self._returns[1].spent_s, -1)  # the oldest only says when the window begins
        self._add(spent, 1)
        self._returns.append(_Return(self._clock(), self._driven_s, spent))

    def _add(self, spent: Mapping[Cause, float], sign: int) -> None:
        for cause, seconds in spent.items():
            self._spent_s[cause] += sign * seconds

    def busy(self, under_way_s: Iterable[float] = ()) -> float:
        """Return how many trials were under way at once, on average over the window; all workers at first.

        `under_way_s` says for how long those of now were: a long one would not be seen until it is back.
        """
        if not (window := self._window_s):
            return float(self._workers)
        spent = sum(self._spent_s.values()) + self._not_back_s(under_way_s)
        return min(float(self._workers), spent / window)

    @property
    def _window_s(self) -> float:
        """How long the window is; 0 before each worker had its turn, for of the others nothing is known."""
        enough = len(self._returns) > self._workers
        return self._returns[-1].at_s - self._returns[0].at_s if enough else 0.0

    def _not_back_s(self, under_way_s: Iterable[float]) -> float:
        """Return what trials that are not back yet took of the window."""
        since_last = self._clock() - self._returns[-1].at_s
        return math.fsum(min(self._window_s, max(0.0, seconds - since_last)) for seconds in under_way_s)

    def limiting(self, under_way_s: Iterable[float] = ()) -> Limiting | None:
        """Return what limits the study now, None before as many trials came back as there are workers.

        `under_way_s` is as for `busy`; what they are at is not known, and put down to the workers.
        """
        first, last = self._returns[0], self._returns[-1]
        if not self._window_s:
            return None
        whole = self._workers * self._window_s
        shares: dict[Cause, float] = {cause: spent / whole for cause, spent in self._spent_s.items()}
        shares["workers"] += self._not_back_s(under_way_s) / whole
        shares["driver"] = (last.driven_s - first.driven_s) / self._window_s
        cause = max(shares, key=lambda name: shares[name])
        return Limiting(cause=cause, share=min(1.0, max(0.0, shares[cause])))
