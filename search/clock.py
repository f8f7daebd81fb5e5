"""What a study tells the time by: the real clock, or one that a test or a simulation moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tells the seconds since some moment; they never go back."""

    def now(self) -> float:
        """Return the time, in seconds."""


class RealClock:
    """The time that passes."""

    def now(self) -> float:
        """Return the machine's monotonic time, in seconds."""
        return time.monotonic()


class FakeClock:
    """Stands still until somebody moves it."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """Return the time, in seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let so much time pass. Raises ValueError where it would go back."""
        if seconds < 0:
            raise ValueError(f"a clock goes forward, got {seconds:g} s; advance it by 0 or more")
        self._now_s += seconds


REAL = RealClock()


def share_left(limit_s: float | None, clock: Clock = REAL) -> Callable[[], float]:
    """Return what tells the share that is left of a time which begins now; always 0 without a limit."""
    start = clock.now()
    if not limit_s:
        return lambda: 0.0
    return lambda: max(0.0, 1 - (clock.now() - start) / limit_s)
