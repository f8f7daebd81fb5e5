"""What a study knows of itself while it runs: its trials, counts and front, brought up to date one by one."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from search.front import Front
from search.status import Best, Status, bests, counted
from search.storage import make_record

if TYPE_CHECKING:
    from search.storage import Facts
    from search.trial import StudyRecord, TrialRecord


class Tally:
    """The trials that ended, in order of number, with all that follows from them.

    To take note of one more costs a pass over the front, however many trials there are.
    """

    def __init__(self, name: str, facts: Facts, trials: Iterable[TrialRecord]) -> None:
        self._name, self._facts = name, facts
        self.trials = sorted(trials, key=attrgetter("number"))
        self.counted = counted(self.trials)
        self._front = Front(facts.plan.goals, self.trials)
        self._states = Counter(trial.state for trial in self.trials)
        self._seen = {t.candidate.digest: t for t in self.trials if t.candidate and t.outcome}
        self._shown: tuple[tuple[TrialRecord, ...], float, tuple[Best, ...]] | None = None

    def note(self, trial: TrialRecord) -> None:
        """Take note of a trial that ended."""
        assert trial.candidate is not None  # what ended was a candidate
        insort(self.trials, trial, key=attrgetter("number"))
        self.counted += trial.counts
        self._states[trial.state] += 1
        self._seen[trial.candidate.digest] = trial
        self._front.join(trial)

    def known(self, digest: str) -> TrialRecord | None:
        """Return the trial of the candidate with that digest, if there is one."""
        return self._seen.get(digest)

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front, the best in the first objective first."""
        return self._front.points

    @property
    def any_measured(self) -> bool:
        """Whether anything could be measured yet."""
        return bool(self._states["measured"])

    @property
    def record(self) -> StudyRecord:
        """The study as it stands, without what is under way."""
        return make_record(self._name, self._facts, tuple(self.trials))

    def status(self, running: int, wanted: int) -> Status:
        """Sum up for a display, but for the times; hypervolume and bests anew only for another front."""
        if self._shown is None or self._shown[0] is not self.front:
            self._shown = (self.front, *bests(self._front, self._facts))
        _, volume, best = self._shown
        return Status(
            study=self._name,
            done=self.counted,
            wanted=wanted,
            measured=self._states["measured"],
            infeasible=self._states["infeasible"],
            stopped=self._states["stopped"],
            failed=self._states["failed"],
            running=running,
            hypervolume=volume,
            best=best,
        )
