"""Trials in this process, one after the other: for debugging, and where Ray is not wanted."""

from objectives.evaluate import Evaluator
from objectives.setting import Setting
from search.executors.base import Finished
from spaces.candidate import Candidate


class InProcessExecutor:
    """Evaluates in the caller's process and thread, when `next` is called."""

    capacity = 1

    def __init__(self, setting: Setting) -> None:
        self._evaluator = Evaluator(setting)
        self._waiting: list[tuple[int, Candidate]] = []

    def submit(self, number: int, candidate: Candidate) -> None:
        """Keep the trial for the call of `next`."""
        self._waiting.append((number, candidate))

    def next(self, timeout_s: float) -> Finished | None:
        """Evaluate the trial that waits; the time is not bounded."""
        if not self._waiting:
            return None
        number, candidate = self._waiting.pop(0)
        return Finished(number, self._evaluator.evaluate(candidate))

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
