"""The one that asks and tells: a loop over a storage, a space and an executor.

Workers never touch the study. Everything that is known of a trial is in the storage before the views
hear of it, so a kill at any instant loses at most the trials in flight, which are asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from objectives.outcome import Failed, Outcome
from search.asking import Declined
from search.clock import REAL, Clock
from search.errors import NothingFits, Paused, StudyError
from search.interrupts import uninterrupted
from search.limiting import Utilisation
from search.nearest import nearest
from search.pace import Pace, spare
from search.reaping import make_up
from search.status import Display, Status
from search.storage import judged
from search.tally import Tally
from search.telling import MOST_RETRIES
from search.trial import COUNTED, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from search.book import Asked, Book
    from search.counsel import Counsel, Reaped, Stocked
    from search.executors.base import Executor
    from search.ledger import Ledger

PATIENCE = 200
"""Asks in a row without a new candidate that fits, after which a study ends."""
MOST_GIVEN_UP = 8
"""Candidates in a row that no worker outlived, after which it is hardly the candidates' fault."""
TUNED_WITHIN = 0.8
"""The share of the time that a trial may take after which no fine-tuning of a harvest goes on."""
TICK_S = 0.5
BATCH_S = 0.25
"""For so long asks are gathered before they are written and begun, all of them in one transaction."""


@dataclass
class _Running:
    asked: Asked
    since: float
    attempts: int = 1


class Driver:
    """Runs a study until it has its trials, its time is up, or nothing new fits any more."""

    def __init__(
        self,
        book: Book,
        executor: Executor,
        ledger: Ledger,
        display: Display,
        counsel: Counsel | None = None,
        clock: Clock = REAL,
    ) -> None:
        self._book, self._facts, self._counsel = book, book.facts, counsel
        self._executor, self._ledger, self._display, self._clock = executor, ledger, display, clock
        self._spare = spare(executor.capacity)
        self._ahead: deque[Asked] = deque()  # begun as far as the study knows, but without a worker yet
        self._answered: deque[tuple[Asked, Stocked]] = deque()
        self._idle_asks = False  # until a trial comes back, asking again makes no sense
        self._running: dict[int, _Running] = {}
        self._tally = Tally(book.name, book.facts, book.found)
        self._pace, self._use = Pace.of(self._tally.trials), Utilisation(executor.capacity, clock.now)
        self._barren = 0
        self._news = 0  # candidates among the barren asks that were new, though they did not fit
        self._suspects: list[tuple[_Running, Failed]] = []
        self._start = clock.now()

    @property
    def record(self) -> StudyRecord:
        """The study as it stands, without what is under way."""
        return self._tally.record

    def status(self) -> Status:
        """Sum up for a display."""
        time_s = self._clock.now()
        seconds, under_way = time_s - self._start, [time_s - one.since for one in self._running.values()]
        left, limiting = self._seconds_left(seconds, under_way), self._use.limiting(under_way)
        now: dict[str, Any] = {"seconds": seconds, "seconds_left": left, "limited_by": limiting}
        if self._counsel is not None:
            now |= {"checked": self._counsel.lessons.audited, "wrong": self._counsel.lessons.wrong}
        return self._tally.status(len(self._running), self._wanted).model_copy(update=now)

    @property
    def _wanted(self) -> int:
        """How many trials there will be; networks that became the same on another device are one."""
        plan = self._facts.plan
        if not plan.only_carried:
            return plan.trials
        return self._tally.counted + len(self._running) + len(self._ahead) + self._book.waiting

    def _seconds_left(self, seconds: float, under_way: Sequence[float]) -> float | None:
        """Return what the trials left will take at the pace of the last ones, at most the time it has."""
        plan, at_once = self._facts.plan, self._use.busy(under_way)
        left = self._pace.seconds_left(max(0, self._wanted - self._tally.counted), at_once, under_way)
        guesses = [] if left is None else [left]
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
        if self._counsel is not None:
            for form in make_up(self._book, self._counsel, self._tally):
                self._take_note(form)
        while True:
            with self._use.driving():
                self._fill_seats()
            self._display.show(self.status())
            if not self._running:
                break
            spare = not self._idle_asks and self._may_ask(self._executor.capacity + self._spare)
            finished = self._executor.next(0.0 if spare else TICK_S)
            if finished is not None:
                with self._use.driving(), uninterrupted():
                    self._back(finished.number, finished.outcome)
            elif spare:
                with self._use.driving():
                    self._idle_asks = not self._ask_some(len(self._running) + len(self._ahead) + 1)
        self._conclude()

    def _fill_seats(self) -> None:
        """Give every worker that is free a trial, while there are any to be had."""
        asking = True
        while True:
            while self._ahead and self._in_time and len(self._running) < self._executor.capacity:
                with uninterrupted():
                    self._seat(self._ahead.popleft())
            if not asking or not self._may_ask(self._executor.capacity):
                return
            asking = self._ask_some(self._executor.capacity)

    def _ask_some(self, most: int) -> bool:
        """Ask until `most` trials are under way or asked ahead, for BATCH_S, and write them down at once.

        Return whether it makes sense to ask again before anything comes back.
        """
        start, asking = self._clock.now(), True
        with uninterrupted(), self._book.together():
            while asking and self._may_ask(most):
                asking = self._ask()
                if self._clock.now() - start >= BATCH_S:
                    break
        while self._answered:  # by now they have numbers
            answered, stocked = self._answered.popleft()
            self._take_note(answered.record(stocked.outcome, stocked.parent))
        return asking

    def _may_ask(self, most: int) -> bool:
        plan = self._facts.plan
        return (
            len(self._running) + len(self._ahead) < min(most, plan.trials - self._tally.counted)
            and self._barren < PATIENCE
            and not (plan.only_carried and not self._book.waiting)
            and self._in_time
        )

    @property
    def _in_time(self) -> bool:
        return self._left_s > 0

    @property
    def _left_s(self) -> float:
        """The seconds that the study goes on asking."""
        limit_s = self._facts.plan.timeout_s
        return inf if limit_s is None else limit_s - (self._clock.now() - self._start)

    @property
    def _within_s(self) -> float:
        """The seconds within which a trial that begins now has to end its fine-tunings."""
        return min(self._left_s, TUNED_WITHIN * self._facts.plan.trial_timeout_s)

    def _ask(self) -> bool:
        """Ask once; return whether it makes sense to ask again before anything comes back."""
        self._barren += 1
        try:
            asked = self._book.ask()
        except Declined:
            return True
        if known := self._tally.known(asked.digest):
            self._book.answer_duplicate(asked, known)
            return True
        if self._counsel and (stocked := self._counsel.stock.pop(asked.digest, None)):
            self._book.answer_from_stock(asked, stocked.outcome, stocked.parent)
            self._answered.append((asked, stocked))
            return True
        if asked.digest in self._under_way():
            self._book.decline(asked, "the same candidate is under way", steer_away=False)
            return bool(self._suspects or self._answered)  # else nobody would come back
        self._book.begin(asked)
        self._ahead.append(asked)
        return True

    def _seat(self, asked: Asked) -> None:
        self._running[asked.number] = _Running(asked, self._clock.now())
        self._submit(asked)

    def _submit(self, asked: Asked) -> None:
        """Hand a trial to a worker, with what the study knows by now."""
        if self._counsel is None:
            self._executor.submit(asked.number, asked.candidate)
            return
        known, best = self._tally.known, self._tally.front
        brief = self._counsel.brief(asked.number, asked.candidate, asked.params, best, known)
        told = brief.model_copy(update={"within_s": self._within_s})
        self._executor.submit(asked.number, asked.candidate, told)

    def _under_way(self) -> set[str]:
        seated = [*self._running.values(), *(running for running, _ in self._suspects)]
        waiting = [*self._ahead, *(asked for asked, _ in self._answered)]
        return {asked.digest for asked in (*waiting, *(running.asked for running in seated))}

    def _back(self, number: int, outcome: Outcome) -> None:
        running, self._idle_asks = self._running[number], False
        if isinstance(outcome, Failed) and outcome.fault == "device":
            raise Paused(f"the study '{self._book.name}' pauses: {outcome.error}; everything is kept")
        if isinstance(outcome, Failed) and outcome.fault == "infrastructure":
            if running.attempts <= MOST_RETRIES:
                running.attempts, running.since = running.attempts + 1, self._clock.now()
                self._display.say(f"trial {number}: {outcome.error}; trying it again")
                self._submit(running.asked)
                return
            del self._running[number]
            self._suspect(running, outcome)
            return
        del self._running[number]
        self._time(running, outcome)
        self._blame_suspects()  # for workers do outlive other candidates
        self._end(running, judged(outcome, self._facts.plan.goals) or outcome)

    def _time(self, running: _Running, outcome: Outcome) -> None:
        """Take note of what a trial took: of its worker's time, where that is told."""
        stages, since = outcome.evidence.seconds, self._clock.now() - running.since
        self._use.came_back(stages, since)
        self._pace.took(outcome.state, sum(stages.values()) or since, counts=outcome.state in COUNTED)

    def _end(self, running: _Running, outcome: Outcome) -> None:
        """Write down how a trial ended, and with it the other forms of its network that are worth it."""
        asked, counsel = running.asked, self._counsel
        record = asked.record(outcome)
        forms: tuple[Reaped, ...] = ()
        if counsel is not None:
            counsel.lessons.learn(record)
            forms = counsel.reaped(record, lambda: asked.params, self._tally.known)
        for ended in (record, *self._book.finish(asked, outcome, forms)):
            self._take_note(ended)
        if counsel is not None:
            counsel.audit(record, self._tally.front)

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
        self._tally.note(record)
        if record.state == "measured":
            self._barren = self._news = 0
        else:
            self._news += 1
        self._ledger.record(self.record, [record])

    def _conclude(self) -> None:
        if self._barren < PATIENCE:
            return
        if self._news < PATIENCE / 2 and self._tally.any_measured:
            self._display.say(
                f"of {PATIENCE} asks in a row {PATIENCE - self._news} were repetitions: the space is "
                "searched through, or the sampler is done with it"
            )
            return
        raise NothingFits(nearest(self._tally.trials, self._book.name, PATIENCE))
