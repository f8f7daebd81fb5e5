"""Trials that are looked up: workers of a clock that is moved, so that a study of hours takes seconds.

The driver that real studies run asks and tells as ever, and what it does depends on nothing but what the
function answers: the same seed gives the same study.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from objectives.brief import Brief
from objectives.outcome import Outcome
from search.clock import FakeClock
from search.executors.base import NOTHING_KNOWN, Finished
from spaces.candidate import Candidate

Answer = Callable[[Candidate, Brief], tuple[Outcome, float]]
"""Returns how a trial of that candidate ends, and after how many seconds."""


class SimulatedExecutor:
    """`capacity` workers, each of which gives what `answer` says once the clock is so far.

    The clock is to be the driver's own. Raises ValueError for fewer than one worker.
    """

    def __init__(self, answer: Answer, capacity: int, clock: FakeClock) -> None:
        if capacity < 1:
            raise ValueError(f"an executor has 1 worker or more, got {capacity}")
        self._answer, self._capacity, self._clock = answer, capacity, clock
        self._under_way: list[tuple[float, int, Finished]] = []
        self._submitted = 0

    @property
    def capacity(self) -> int:
        """One trial per worker."""
        return self._capacity

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        """Start a trial. Raises RuntimeError where no worker is free, ValueError for a negative time."""
        if len(self._under_way) >= self._capacity:
            trials = "trial" if self._capacity == 1 else "trials"
            raise RuntimeError(f"at most {self._capacity} {trials} may be under way, got {number} on top")
        outcome, seconds = self._answer(candidate, brief)
        if not seconds >= 0:
            raise ValueError(f"a trial takes 0 seconds or more, got {seconds:g} for trial {number}")
        self._submitted += 1  # of trials that end at once the one submitted first comes first
        end = self._clock.now() + seconds
        heappush(self._under_way, (end, self._submitted, Finished(number, outcome)))

    def next(self, timeout_s: float) -> Finished | None:
        """Return the trial that ends first.

        Where it has not ended, the clock is moved until it has, since nothing else would happen meanwhile;
        unless the time to wait is 0: then it stands still, and the result is None.
        """
        if not self._under_way:
            return None
        left = self._under_way[0][0] - self._clock.now()
        if left > 0:
            if timeout_s <= 0:
                return None
            self._clock.advance(left)
        return heappop(self._under_way)[-1]

    def close(self) -> None:
        """Forget what is under way."""
        self._under_way.clear()
