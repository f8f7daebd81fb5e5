"""Trials in this process, one after the other: for debugging, and where Ray is not wanted."""

from collections import deque

from objectives.brief import Brief
from objectives.setting import Setting
from search.executors.base import NOTHING_KNOWN, Evaluates, Finished
from spaces.candidate import Candidate


class InProcessExecutor:
    """Evaluates in the caller's process and thread, when `next` is called.

    A candidate that crashes the process takes the study with it; the same command goes on.
    """

    capacity = 1

    def __init__(self, setting: Setting, evaluator: Evaluates | None = None) -> None:
        """Read the data. Raises DataError or DeviceError where that or the device is not there."""
        self._evaluator = evaluator or _evaluator(setting)
        self._waiting: deque[tuple[int, Candidate, Brief]] = deque()

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        """Keep the trial for the call of `next`. Raises RuntimeError where one waits already."""
        if self._waiting:
            raise RuntimeError(f"at most {self.capacity} trial may be under way, got {number} on top")
        self._waiting.append((number, candidate, brief))

    def next(self, timeout_s: float) -> Finished | None:  # noqa: ARG002 - a trial here cannot be left to itself
        """Evaluate the trial that waits; the time is not bounded."""
        if not self._waiting:
            return None
        number, candidate, brief = self._waiting.popleft()
        return Finished(number, self._evaluator.evaluate(candidate, brief))

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


def _evaluator(setting: Setting) -> Evaluates:
    from objectives.evaluate import Evaluator

    return Evaluator(setting)
