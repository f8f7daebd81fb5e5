"""The study's book: asks a sampler, writes down what was asked and told.

All that knows Optuna while a study runs. Its loop (`search/driver.py`) sees candidates and numbers. The
sampler works on a mirror in memory (`search/mirror.py`); the truth is in the storage, where an ask or a batch
of them is one transaction, and so is the end of a trial (`search/writing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from search.asking import Asker, Declined
from search.errors import StudyError
from search.storage import (
    CANDIDATE,
    DECLINED,
    DUPLICATE_OF,
    OUTCOME_KEY,
    PARENT,
    Facts,
    quiet_optuna,
    read_trials,
)
from search.telling import constraints, declined, ending, requeue
from search.trial import TrialRecord
from search.writing import Entry, Place, waiting, write

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from objectives.outcome import Outcome
    from search.counsel import Reaped
    from search.preselect import Preselect
    from spaces.candidate import Candidate


@dataclass
class Handle:
    """A trial of the mirror, and where it is in the storage once it was written there."""

    trial: optuna.Trial
    place: Place | None


@dataclass(frozen=True)
class Asked:
    """One ask: what the sampler chose, and the candidate that the space made of it."""

    handle: Handle
    candidate: Candidate

    @cached_property
    def digest(self) -> str:
        """The candidate's digest."""
        return self.candidate.digest

    @property
    def number(self) -> int:
        """The number of its trial, by which everybody knows it, once that was begun."""
        assert self.handle.place is not None  # nobody speaks of a trial that is not written down
        return self.handle.place.number

    @property
    def params(self) -> dict[str, Any]:
        """What the sampler chose, by name."""
        return self.handle.trial.params

    @property
    def distributions(self) -> dict[str, Any]:
        """What the sampler chose from, by name."""
        return self.handle.trial.distributions

    def record(self, outcome: Outcome, parent: int | None = None) -> TrialRecord:
        """Return the trial as a value, once it was written how it ended."""
        return TrialRecord(
            number=self.number,
            state=outcome.state,
            candidate=self.candidate,
            outcome=outcome,
            parent=parent,
        )


class Book:
    """One study's trials, as they are asked, begun and ended. One process at a time may hold it."""

    def __init__(
        self,
        study: optuna.Study,
        facts: Facts,
        asker: Asker,
        preselect: Preselect | None = None,
        still_held: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the book. With `preselect` that says what to try next, once it can, and else the sampler.

        `still_held` is asked before anything is written, and raises StudyError where the study is another
        driver's by now.
        """
        from search.mirror import Mirror

        self.facts, self.asker = facts, asker
        self._study, self._still_held = study, still_held
        self._mirror = Mirror(study)
        self._waiting = {t.number: Place(t._trial_id, t.number) for t in waiting(study)}  # noqa: SLF001 - its key
        self._taken_in = set(self._waiting.values())
        self._unwritten: list[tuple[Handle, Entry]] = []
        self._together = False
        self._preselect = preselect
        if preselect is not None:
            self._tell_what_is_known(preselect)

    @property
    def name(self) -> str:
        """The study's name in its storage."""
        return self._study.study_name

    @cached_property
    def found(self) -> list[TrialRecord]:
        """The trials that had ended when the book was first asked for them; to read them all takes time."""
        return self.finished()

    def finished(self) -> list[TrialRecord]:
        """Read the trials that ended by now, but for repetitions, in order of number."""
        found = read_trials(self._study, self.facts.plan)
        return [trial for trial in found if trial.state not in {"running", "waiting"}]

    def params(self, number: int) -> dict[str, Any]:
        """Return the parameters of a trial in the storage."""
        found: dict[str, Any] = self._study.get_trials(deepcopy=False)[number].params
        return found

    @property
    def waiting(self) -> int:
        """How many trials wait to be asked whose parameters are given."""
        self._take_in()
        return len(self._waiting)

    def ask(self) -> Asked:
        """Ask for one more: what waits first, then the sampler.

        Raises Declined, with the ask written down as such, where the choice lies outside of the plan's
        ranges; StudyError where the space fails.
        """
        self._take_in()
        if self._preselect and not self._waiting and (params := self._preselect.choose()):
            self._mirror.hold(prescribed(params))
        trial = self._mirror.ask()
        handle = Handle(trial, self._waiting.pop(trial.number, None))
        try:
            return Asked(handle, self.asker.candidate(trial))
        except Declined as reason:
            self._decline(handle, str(reason), steer_away=True)
            raise

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what the block asks, begins and declines at its end, in one transaction.

        The numbers of its trials are known afterwards. Of a block that fails nothing is written.
        """
        self._together = True
        try:
            yield
            self._write()
        finally:
            self._together = False
            self._unwritten.clear()

    def begin(self, asked: Asked) -> None:
        """Write down that the trial is under way: what a kill leaves so is asked again."""
        self._put(asked.handle, {CANDIDATE: asked.candidate.model_dump_json()})
        if self._preselect:
            self._preselect.begin(asked.candidate, asked.params)

    def answer_duplicate(self, asked: Asked, known: TrialRecord) -> None:
        """Answer an ask, which was not begun, by what is known of the same candidate."""
        assert known.outcome is not None
        self._tell(asked.handle, known.outcome)
        self._put(asked.handle, {DUPLICATE_OF: known.number})

    def answer_from_stock(self, asked: Asked, outcome: Outcome, parent: int) -> None:
        """Answer an ask, which was not begun, by what is known of it as a form of another trial's network."""
        attributes = {
            CANDIDATE: asked.candidate.model_dump_json(),
            PARENT: parent,
            OUTCOME_KEY: outcome.model_dump_json(),
        }
        self._tell(asked.handle, outcome)
        self._put(asked.handle, attributes)
        self._learn(asked.candidate, asked.params, outcome, form=True)

    def decline(self, asked: Asked, reason: str, *, steer_away: bool) -> None:
        """End an ask, which was not begun, without an answer; whether the sampler is to avoid its like."""
        self._decline(asked.handle, reason, steer_away=steer_away)

    def finish(self, asked: Asked, outcome: Outcome, forms: Sequence[Reaped] = ()) -> list[TrialRecord]:
        """Write down how a trial ended, and tell the sampler; return the `forms` of its network as trials."""
        handle = asked.handle
        self._tell(handle, outcome)
        ended = self._mirror.frozen(handle.trial.number)
        news = quiet_optuna().trial.create_trial(
            state=ended.state,
            values=ended.values,
            user_attrs={OUTCOME_KEY: outcome.model_dump_json()},
            system_attrs=dict(ended.system_attrs),
        )
        added = self._added([Entry(news, handle.place)], forms)
        self._learn(asked.candidate, asked.params, outcome)
        self._learn_forms(forms)
        return added

    def add(self, forms: Sequence[Reaped]) -> list[TrialRecord]:
        """Write down forms of a network, which nobody asked for and that are over; return them as trials."""
        added = self._added([], forms)
        self._learn_forms(forms)
        return added

    def _added(self, entries: Sequence[Entry], forms: Sequence[Reaped]) -> list[TrialRecord]:
        """Write entries and forms all at once, and return the forms with the numbers that they got."""
        if not (entries or forms):
            return []
        trials = [self._ended(form) for form in forms]
        places = self._write_down([*entries, *(Entry(trial) for trial in trials)])[len(entries) :]
        for trial in trials:
            self._mirror.hold(trial)
        return [
            form.record.model_copy(update={"number": place.number})
            for form, place in zip(forms, places, strict=True)
        ]

    def _learn_forms(self, forms: Sequence[Reaped]) -> None:
        for record, offer in forms:
            if record.outcome is not None:
                self._learn(offer.candidate, offer.params, record.outcome, form=True)

    def _ended(self, form: Reaped) -> FrozenTrial:
        """Return a form as a trial of Optuna's that is over."""
        (record, offer), plan = form, self.facts.plan
        assert record.outcome is not None  # what has none is not reaped
        state, values = ending(record.outcome, plan)
        attributes = {
            CANDIDATE: offer.candidate.model_dump_json(),
            PARENT: record.parent,
            OUTCOME_KEY: record.outcome.model_dump_json(),
        }
        trial: FrozenTrial = quiet_optuna().trial.create_trial(
            state=state,
            values=values,
            params=dict(offer.params),
            distributions=dict(offer.distributions),
            user_attrs=attributes,
            constraints=constraints(record.outcome, plan),
        )
        return trial

    def _learn(
        self, candidate: Candidate, params: Mapping[str, Any], outcome: Outcome, *, form: bool = False
    ) -> None:
        if self._preselect:
            self._preselect.learn(candidate, params, outcome, form=form)

    def _tell_what_is_known(self, preselect: Preselect) -> None:
        params = {trial.number: trial.params for trial in self._study.get_trials(deepcopy=False)}
        for trial in self.found:
            if trial.candidate is not None and trial.outcome is not None:
                form = trial.parent is not None
                preselect.learn(trial.candidate, params[trial.number], trial.outcome, form=form)

    def _take_in(self) -> None:
        """Take in what somebody put into the storage's queue meanwhile."""
        if self._waiting:
            return
        for trial in waiting(self._study):
            place = Place(trial._trial_id, trial.number)  # noqa: SLF001 - its key
            if place not in self._taken_in:
                self._taken_in.add(place)
                self._waiting[self._mirror.hold(trial)] = place

    def _tell(self, handle: Handle, outcome: Outcome) -> None:
        plan = self.facts.plan
        self._mirror.end(handle.trial, *ending(outcome, plan), constraints(outcome, plan))

    def _decline(self, handle: Handle, reason: str, *, steer_away: bool) -> None:
        self._mirror.end(handle.trial, *declined(self.facts.plan, steer_away=steer_away))
        self._put(handle, {DECLINED: reason})

    def _put(self, handle: Handle, attributes: Mapping[str, Any]) -> None:
        """Write a trial as it stands in the mirror, with attributes of ours."""
        trial = self._mirror.frozen(handle.trial.number)
        written = quiet_optuna().trial.create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=dict(attributes),
            system_attrs=dict(trial.system_attrs),
        )
        self._unwritten.append((handle, Entry(written, handle.place)))
        if not self._together:
            self._write()

    def leave(self) -> None:
        """Let what is under way be asked again, unless another driver asks for it already."""
        with suppress(StudyError):
            self._still_held()
            requeue(self._study, self.facts.plan, blame=False)

    def _write_down(self, entries: Sequence[Entry]) -> Sequence[Place]:
        self._still_held()
        return write(self._study, entries)

    def _write(self) -> None:
        entries, self._unwritten = self._unwritten, []
        places = self._write_down([entry for _, entry in entries])
        for (handle, _), place in zip(entries, places, strict=True):
            handle.place = place


def prescribed(params: Mapping[str, Any]) -> FrozenTrial:
    """Return a trial that waits to be asked with these parameters, as `enqueue_trial` would make it."""
    waits = quiet_optuna().trial.TrialState.WAITING
    trial: FrozenTrial = quiet_optuna().trial.create_trial(
        state=waits, system_attrs={"fixed_params": dict(params)}
    )
    return trial
