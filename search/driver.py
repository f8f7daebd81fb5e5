"""The one that asks and tells: a loop over a storage, a space and an executor.

Workers never touch the study. Everything that is known of a trial is in the storage before the views
hear of it, so a kill at any instant loses at most the trials in flight, which are asked again.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from objectives.outcome import Failed, Infeasible, Outcome
from search.asking import Asker, Declined
from search.errors import NothingFits, Paused, StudyError
from search.front import front
from search.interrupts import uninterrupted
from search.status import COUNTED, Display, Status, status
from search.storage import (
    CANDIDATE,
    DUPLICATE_OF,
    Facts,
    judged,
    make_record,
    quiet_optuna,
    read_trials,
)
from search.telling import MOST_RETRIES, decline, finish, tell
from search.trial import StudyRecord, TrialRecord

if TYPE_CHECKING:
    import optuna

    from search.executors.base import Executor
    from search.ledger import Ledger
    from spaces.candidate import Candidate

PATIENCE = 200
"""Asks in a row without a new candidate that fits, after which a study ends."""
MOST_GIVEN_UP = 8
"""Candidates in a row that no worker outlived, after which it is hardly the candidates' fault."""
TICK_S = 0.5


@dataclass
class _Running:
    trial: optuna.Trial
    candidate: Candidate
    attempts: int = 1


class Driver:
    """Runs a study until it has its trials, its time is up, or nothing new fits any more."""

    def __init__(
        self,
        study: optuna.Study,
        facts: Facts,
        asker: Asker,
        executor: Executor,
        ledger: Ledger,
        display: Display,
    ) -> None:
        self._study, self._facts, self._asker = study, facts, asker
        self._executor, self._ledger, self._display = executor, ledger, display
        self._running: dict[int, _Running] = {}
        self._trials = [t for t in read_trials(study, facts.plan) if t.state not in {"running", "waiting"}]
        self._seen = {t.candidate.digest: t for t in self._trials if t.candidate and t.outcome}
        self._states = Counter(trial.state for trial in self._trials)
        self._front = front(self._trials, facts.plan.goals)
        self._fresh = 0
        self._barren = 0
        self._news = 0  # candidates among the barren asks that were new, though they did not fit
        self._suspects: list[tuple[_Running, Failed]] = []
        self._start = time.monotonic()
        self._status: tuple[tuple[int, int], Status] | None = None

    @property
    def record(self) -> StudyRecord:
        """The study as it stands, without what is under way."""
        ordered = tuple(sorted(self._trials, key=lambda trial: trial.number))
        return make_record(self._study.study_name, self._facts, ordered)

    def status(self) -> Status:
        """Sum up for a display; front and hypervolume anew only where a trial came back since."""
        seconds, moment = time.monotonic() - self._start, (len(self._trials), len(self._running))
        if self._status is None or self._status[0] != moment:
            name, running = self._study.study_name, len(self._running)
            self._status = moment, status(name, self._states, self._front, self._facts, running)
        left = self._seconds_left(seconds)
        return self._status[1].model_copy(update={"seconds": seconds, "seconds_left": left})

    def _seconds_left(self, seconds: float) -> float | None:
        """Return what the trials left will take at the pace of this call, at most the time it has."""
        plan = self._facts.plan
        pace = seconds / self._fresh if self._fresh >= self._executor.capacity else None
        guesses = [] if pace is None else [pace * max(0, plan.trials - self._counted)]
        if plan.timeout_s is not None:
            guesses.append(max(0.0, plan.timeout_s - seconds))
        return min(guesses, default=None)

    def run(self) -> None:
        """Ask, wait and tell until there is nothing left to do.

        Raises NothingFits after PATIENCE asks in a row without a new candidate that fits, unless they
        were repetitions and something fits already; Paused where the device does not answer any more;
        StudyError where the space fails, or where candidate after candidate loses its workers.
        """
        known = self.record
        self._ledger.record(known, known.trials)  # whatever a kill kept from it
        while True:
            self._ask_for_more()
            self._display.show(self.status())
            if not self._running:
                break
            finished = self._executor.next(TICK_S)
            if finished is not None:
                with uninterrupted():
                    self._back(finished.number, finished.outcome)
        self._conclude()

    @property
    def _counted(self) -> int:
        return sum(self._states[state] for state in COUNTED)

    def _ask_for_more(self) -> None:
        asking = True
        while asking and self._may_ask():
            with uninterrupted():
                asking = self._ask()

    def _may_ask(self) -> bool:
        plan = self._facts.plan
        return (
            len(self._running) < min(self._executor.capacity, plan.trials - self._counted)
            and self._barren < PATIENCE
            and not (plan.only_carried and self._nothing_waits)
            and (plan.timeout_s is None or time.monotonic() - self._start < plan.timeout_s)
        )

    @property
    def _nothing_waits(self) -> bool:
        waiting = quiet_optuna().trial.TrialState.WAITING
        return not self._study.get_trials(deepcopy=False, states=(waiting,))

    def _ask(self) -> bool:
        """Ask once; return whether it makes sense to ask again before anything comes back."""
        self._barren += 1
        trial = self._study.ask()
        try:
            candidate = self._asker.candidate(trial)
        except Declined as reason:
            decline(self._study, trial, str(reason), self._facts.plan, steer_away=True)
            return True
        if known := self._seen.get(candidate.digest):
            self._answer(trial, known)
            return True
        if candidate.digest in self._under_way():
            what = "the same candidate is under way"
            decline(self._study, trial, what, self._facts.plan, steer_away=False)
            return bool(self._suspects)
        trial.set_user_attr(CANDIDATE, candidate.model_dump_json())
        self._running[trial.number] = _Running(trial, candidate)
        self._executor.submit(trial.number, candidate)
        return True

    def _under_way(self) -> set[str]:
        everyone = [*self._running.values(), *(running for running, _ in self._suspects)]
        return {running.candidate.digest for running in everyone}

    def _answer(self, trial: optuna.Trial, known: TrialRecord) -> None:
        assert known.outcome is not None
        trial.set_user_attr(DUPLICATE_OF, known.number)
        tell(self._study, trial, known.outcome, self._facts.plan)

    def _back(self, number: int, outcome: Outcome) -> None:
        running = self._running[number]
        if isinstance(outcome, Failed) and outcome.fault == "device":
            raise Paused(f"the study '{self._study.study_name}' pauses: {outcome.error}; everything is kept")
        if isinstance(outcome, Failed) and outcome.fault == "infrastructure":
            if running.attempts <= MOST_RETRIES:
                running.attempts += 1
                self._display.say(f"trial {number}: {outcome.error}; trying it again")
                self._executor.submit(number, running.candidate)
                return
            del self._running[number]
            self._suspect(running, outcome)
            return
        del self._running[number]
        self._blame_suspects()  # for workers do outlive other candidates
        self._end(running, judged(outcome, self._facts.plan) or outcome)

    def _end(self, running: _Running, outcome: Outcome) -> None:
        number = running.trial.number
        finish(self._study, running.trial, outcome, self._facts.plan)
        self._take_note(
            TrialRecord(number=number, state=outcome.state, candidate=running.candidate, outcome=outcome)
        )

    def _suspect(self, running: _Running, outcome: Failed) -> None:
        """Put a candidate aside that no worker outlived; it still runs, as far as the study knows.

        Raises StudyError where one after the other is put aside: then all of them are asked again.
        """
        self._suspects.append((running, outcome))
        if len(self._suspects) >= MOST_GIVEN_UP:
            raise StudyError(
                f"{MOST_GIVEN_UP} candidates in a row failed {running.attempts} times each, the last one "
                f"with: {outcome.error}; mend that, and the same command goes on"
            )

    def _blame_suspects(self) -> None:
        """Lay it at the door of the candidates that were put aside, lest they be proposed for ever."""
        while self._suspects:
            running, outcome = self._suspects.pop(0)
            error = f"{outcome.error}, {running.attempts} times"
            self._end(running, outcome.model_copy(update={"error": error, "fault": "candidate"}))

    def _take_note(self, record: TrialRecord) -> None:
        assert record.candidate is not None
        self._trials.append(record)
        self._seen[record.candidate.digest] = record
        self._states[record.state] += 1
        self._fresh += record.state in COUNTED
        if record.state == "measured":
            self._barren = self._news = 0
            self._front = front((*self._front, record), self._facts.plan.goals)
        else:
            self._news += 1
        self._ledger.record(self.record, [record])

    def _conclude(self) -> None:
        if self._barren < PATIENCE:
            return
        if not self._news and any(trial.state == "measured" for trial in self._trials):
            self._display.say(
                f"{PATIENCE} asks in a row were repetitions: the space is searched through, or the sampler "
                "is done with it"
            )
            return
        raise NothingFits(nearest(self._trials, self._study.study_name))


def nearest(trials: list[TrialRecord], study: str) -> str:
    """Say which limit binds and how near the nearest trial came to keeping all of them."""
    infeasible = [
        (sum(violation.excess for violation in t.outcome.violations), t.number, t.outcome.violations)
        for t in trials
        if isinstance(t.outcome, Infeasible)
    ]
    if not infeasible:
        return (
            f"{PATIENCE} asks in a row brought no new candidate that could be measured; "
            f"`edgesearch trials {study}` says why"
        )
    _, number, broken = min(infeasible, key=lambda found: found[:2])
    worst = max(broken, key=lambda violation: violation.excess)
    return (
        f"no new candidate fits after {PATIENCE} asks in a row: the limit {worst.metric} {worst.limit:g} "
        f"binds, the nearest was trial {number} with {worst.value:.6g}; relax the limit or widen the ranges"
    )
