"""The seam to whatever does the work of trials: in this process, on Ray, or (in tests) from a table."""

from typing import NamedTuple, Protocol

from objectives.brief import Brief
from objectives.outcome import Outcome
from spaces.candidate import Candidate

NOTHING_KNOWN = Brief()


class Finished(NamedTuple):
    """A trial that came back, and how it ended."""

    number: int
    outcome: Outcome


class Evaluates(Protocol):
    """Evaluates one candidate; whatever goes wrong is an outcome too."""

    def evaluate(self, candidate: Candidate, brief: Brief) -> Outcome:
        """Return how the trial ended."""


class Executor(Protocol):
    """Evaluates candidates, some at a time.

    Every submitted number comes back once from `next`, whatever happens to the worker that had it: a
    worker's death is a `Failed` whose fault is the infrastructure's. A number that came back may be
    submitted again.
    """

    @property
    def capacity(self) -> int:
        """How many trials may be under way at once."""

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        """Start a trial. Raises RuntimeError where `capacity` are under way already."""

    def next(self, timeout_s: float) -> Finished | None:
        """Wait for a trial to come back, or return None after the time is up or where none is under way."""

    def close(self) -> None:
        """End the workers, and with them whatever they are at; may be called again."""
