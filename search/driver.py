"""The one that asks and tells: a loop over a storage, a space and an executor.

Workers never touch the study. Everything that is known of a trial is in the storage before the views
hear of it, so a kill at any instant loses at most the trials in flight, which are asked again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from objectives.goals import limited_metric
from objectives.outcome import Failed, Infeasible, Measured, Outcome
from search.asking import Asker, Declined
from search.errors import NothingFits
from search.plan import OBJECTIVES
from search.status import COUNTED, Display, Status, status
from search.storage import (
    CANDIDATE,
    DECLINED,
    DUPLICATE_OF,
    OUTCOME_KEY,
    RETRIES,
    RETRY_OF,
    Facts,
    judged,
    make_record,
    quiet_optuna,
    read_trials,
)
from search.trial import StudyRecord, TrialRecord

if TYPE_CHECKING:
    import optuna

    from search.executors.base import Executor
    from search.ledger import Ledger
    from spaces.candidate import Candidate

PATIENCE = 200
"""Asks in a row without a new candidate that fits, after which a study ends."""
MOST_RETRIES = 2
TICK_S = 0.5


@dataclass
class _Running:
    trial: optuna.Trial
    candidate: Candidate
    attempts: int = 1


def requeue(study: optuna.Study, blame: bool) -> int:
    """Ask again for the trials that were under way when the last driver ended; return how many.

    With `blame`, a trial counts how often its driver was killed, and is given up after MOST_RETRIES:
    it may have been the reason. Left RUNNING, such trials would repel the sampler for ever.
    """
    optuna = quiet_optuna()
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        retries = trial.user_attrs.get(RETRIES, 0) + blame
        if retries <= MOST_RETRIES:
            study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, RETRIES: retries})
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return len(running)


class Driver:
    """Runs a study until it has its trials, its time is up, or nothing new fits any more."""

    def __init__(
        self, study: optuna.Study, facts: Facts, asker: Asker, executor: Executor, ledger: Ledger, display: Display
    ) -> None:
        self._study, self._facts, self._asker = study, facts, asker
        self._executor, self._ledger, self._display = executor, ledger, display
        self._running: dict[int, _Running] = {}
        self._trials = [t for t in read_trials(study, facts.plan) if t.state not in ("running", "waiting")]
        self._seen = {t.candidate.digest: t for t in self._trials if t.candidate and _answers(t)}
        self._barren = 0
        self._fresh = 0
        self._start = time.monotonic()

    @property
    def record(self) -> StudyRecord:
        """The study as it stands, without what is under way."""
        return make_record(self._study.study_name, self._facts, tuple(sorted(self._trials, key=lambda trial: trial.number)))

    def status(self) -> Status:
        """Sum up for a display."""
        seconds = time.monotonic() - self._start
        return status(
            self._trials, self._facts, len(self._running), seconds, self._fresh, self._executor.capacity
        )

    def run(self) -> None:
        """Ask, wait and tell until there is nothing left to do.

        Raises NothingFits after PATIENCE asks in a row without a new candidate that fits, where no
        candidate of the study fits; StudyError where the space fails.
        """
        while True:
            while self._may_ask():
                self._ask()
            if not self._running:
                break
            finished = self._executor.next(TICK_S)
            if finished is not None:
                self._back(finished.number, finished.outcome)
            self._display.show(self.status())
        self._complain_if_barren()

    def _may_ask(self) -> bool:
        plan = self._facts.plan
        wanted = plan.trials - sum(t.state in COUNTED for t in self._trials)
        return (
            len(self._running) < min(self._executor.capacity, wanted)
            and self._barren < PATIENCE
            and (plan.timeout_s is None or time.monotonic() - self._start < plan.timeout_s)
        )

    def _ask(self) -> None:
        self._barren += 1
        trial = self._study.ask()
        try:
            candidate = self._asker.candidate(trial)
        except Declined as reason:
            trial.set_user_attr(DECLINED, str(reason))
            self._study.tell(trial, state=quiet_optuna().trial.TrialState.PRUNED)
            return
        if known := self._seen.get(candidate.digest):
            self._answer(trial, known)
        elif not any(r.candidate.digest == candidate.digest for r in self._running.values()):
            trial.set_user_attr(CANDIDATE, candidate.model_dump_json())
            self._running[trial.number] = _Running(trial, candidate)
            self._executor.submit(trial.number, candidate)
        else:  # its twin is under way: there is nothing to learn from it yet
            trial.set_user_attr(DECLINED, "the same candidate is under way")
            self._study.tell(trial, state=quiet_optuna().trial.TrialState.FAIL)

    def _answer(self, trial: optuna.Trial, known: TrialRecord) -> None:
        assert known.outcome is not None
        trial.set_user_attr(DUPLICATE_OF, known.number)
        self._tell(trial, known.outcome)

    def _back(self, number: int, outcome: Outcome) -> None:
        running = self._running[number]
        if isinstance(outcome, Failed) and outcome.fault == "infrastructure":
            if running.attempts <= MOST_RETRIES:
                running.attempts += 1
                self._display.say(f"trial {number}: {outcome.error}; trying it again")
                self._executor.submit(number, running.candidate)
                return
            # Whatever it is, it happens with this candidate: it must not be proposed for ever.
            outcome = outcome.model_copy(
                update={"error": f"{outcome.error}, {running.attempts} times", "fault": "candidate"}
            )
        del self._running[number]
        outcome = judged(outcome, self._facts.plan)
        running.trial.set_user_attr(OUTCOME_KEY, outcome.model_dump_json())
        self._tell(running.trial, outcome)
        self._take_note(TrialRecord(number=number, state=outcome.state, candidate=running.candidate, outcome=outcome))

    def _take_note(self, record: TrialRecord) -> None:
        assert record.candidate is not None
        self._trials.append(record)
        self._seen[record.candidate.digest] = record
        self._fresh += record.state in COUNTED
        if record.state == "measured":
            self._barren = 0
        self._ledger.record(self.record, [record])

    def _tell(self, trial: optuna.Trial, outcome: Outcome) -> None:
        states = quiet_optuna().trial.TrialState
        for metric, value in self._constraints(outcome).items():
            trial.set_constraint(metric, value)
        if isinstance(outcome, Measured):
            values = outcome.evidence.values
            self._study.tell(trial, [values[g.metric] for g in self._facts.plan.goals if g.objective])
        else:
            self._study.tell(trial, state=states.PRUNED)

    def _constraints(self, outcome: Outcome) -> dict[str, float]:
        """Return a violation for every metric, always in the same order; what is not known breaks nothing."""
        values = {**outcome.evidence.values}
        if isinstance(outcome, Infeasible):
            values.update({broken.metric: broken.value for broken in outcome.violations})
        constraints = dict.fromkeys(OBJECTIVES, 0.0)
        for goal in self._facts.plan.goals:
            if (value := values.get(limited_metric(goal))) is not None:
                constraints[goal.metric] = goal.violation(value)
        return constraints

    def _complain_if_barren(self) -> None:
        if self._barren < PATIENCE:
            return
        if any(t.state == "measured" for t in self._trials):
            self._display.say(f"{PATIENCE} asks in a row brought no new candidate that fits: the space is searched through")
            return
        raise NothingFits(nearest(self._trials))


def _answers(trial: TrialRecord) -> bool:
    return trial.outcome is not None


def nearest(trials: list[TrialRecord]) -> str:
    """Say which limit binds and how near the nearest trial came to keeping all of them."""
    outcomes: list[tuple[float, int, Any]] = [
        (sum(v.excess for v in t.outcome.violations), t.number, t.outcome.violations)
        for t in trials
        if isinstance(t.outcome, Infeasible)
    ]
    if not outcomes:
        return f"{PATIENCE} asks in a row brought no candidate that could be measured; `edgesearch trials` says why"
    _, number, broken = min(outcomes, key=lambda found: found[:2])
    worst = max(broken, key=lambda violation: violation.excess)
    return (
        f"no candidate fits after {PATIENCE} asks in a row: the limit {worst.metric} {worst.limit:g} binds, the nearest "
        f"was trial {number} with {worst.value:.6g}; relax the limit or widen the ranges"
    )
