"""What a sampler sees of a study: a study in memory with the front, the newest trials and what is under way.

An ask looks at every trial there is, often more than once, and would take seconds after some thousands. What
lies further back and is on no front has little to say. The mirror's trials have the numbers that they have
in the study, as keys too, so that what a sampler notes about trials still holds when it is taken up again.

Imports Optuna, so it is imported where it is used.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.study import StudyDirection

NEWEST = 500
"""How many trials that ended are shown, beside the front. Twice as many make an ask nearly twice as dear."""
# Samplers are handed a study with a storage, and there is no public way to either.
# ruff: noqa: SLF001


class Mirror:
    """Holds what a study's sampler sees, and asks it."""

    def __init__(self, study: optuna.Study) -> None:
        """Take over the study's sampler, its trials, and what the sampler noted in it."""
        self._shown = _Shown(study.directions)
        self._storage = _Window(self._shown, study)
        self._study = optuna.create_study(
            storage=self._storage, sampler=study.sampler, directions=study.directions
        )
        self._fill(study.get_trials(deepcopy=False))

    def _fill(self, trials: Sequence[FrozenTrial]) -> None:
        for trial in trials:
            self._shown.note(trial)
        needed = {trial.number for trial in self._shown.ended}
        blank = optuna.trial.create_trial(state=TrialState.FAIL)
        for trial in trials:
            kept = trial.number in needed or not trial.state.is_finished()
            self._storage.create_new_trial(self._study._study_id, _bare(trial) if kept else blank)

    def hold(self, trial: FrozenTrial) -> int:
        """Take in one more trial, which waits or is over; return its number."""
        number = self._storage.create_new_trial(self._study._study_id, _bare(trial))
        self._shown.note(self._storage.get_trial(number))
        return number

    def ask(self) -> optuna.Trial:
        """Return the trial that has waited longest, or else a new one."""
        trial = self._study.ask()
        self._shown.note(self._storage.get_trial(trial.number))
        return trial

    def frozen(self, number: int) -> FrozenTrial:
        """Return a trial as it stands."""
        return self._storage.get_trial(number)

    def end(
        self,
        trial: optuna.Trial,
        state: TrialState,
        values: Sequence[float] | None,
        constraints: Mapping[str, float],
    ) -> None:
        """Tell the sampler how a trial ended."""
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        self._study.tell(trial, values, state=state)
        self._shown.note(self._storage.get_trial(trial.number))


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial without our own attributes, which no sampler knows."""
    bare = copy.copy(trial)
    bare.user_attrs = {}
    return bare


class Ended(FrozenTrial):
    """A trial that is over, so that what is asked for very often is found but once."""

    @cached_property
    def constraints(self) -> dict[str, float]:
        """By how much each limit is broken."""
        return super().constraints

    @cached_property
    def inside(self) -> dict[str, float]:
        """Its parameters as numbers, as Optuna has them inside: a category by its place."""
        return {name: self.distributions[name].to_internal_repr(v) for name, v in self.params.items()}


def _ended(trial: FrozenTrial) -> Ended:
    return Ended(
        number=trial.number,
        state=trial.state,
        value=None,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
        trial_id=trial.number,
        values=trial.values,
    )


class _Shown:
    """Which trials are shown."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        maximize = optuna.study.StudyDirection.MAXIMIZE
        self._signs = [-1.0 if direction == maximize else 1.0 for direction in directions]
        self._newest: deque[Ended] = deque(maxlen=NEWEST)
        self._front: dict[int, tuple[tuple[float, ...], Ended]] = {}
        self._ended: list[Ended] | None = None
        self.under_way: set[int] = set()

    @property
    def ended(self) -> list[Ended]:
        """The trials that are over, in order of number."""
        if self._ended is None:
            best = {number: trial for number, (_, trial) in self._front.items()}
            shown = best | {trial.number: trial for trial in self._newest}
            self._ended = [shown[number] for number in sorted(shown)]
        return self._ended

    def note(self, trial: FrozenTrial) -> None:
        """Take note of a trial's present state. What failed has nothing to say, nor what waits."""
        if trial.state == TrialState.RUNNING:
            self.under_way.add(trial.number)
            return
        self.under_way.discard(trial.number)
        if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}:
            ended, self._ended = _ended(trial), None
            self._newest.append(ended)
            if trial.state == TrialState.COMPLETE:
                self._compete(ended)

    def _compete(self, trial: Ended) -> None:
        losses = tuple(sign * value for sign, value in zip(self._signs, trial.values, strict=True))
        if any(_no_worse(other, losses) for other, _ in self._front.values()):
            return
        for beaten in [number for number, (other, _) in self._front.items() if _no_worse(losses, other)]:
            del self._front[beaten]
        self._front[trial.number] = losses, trial


def _no_worse(losses: Iterable[float], others: Iterable[float]) -> bool:
    return all(a <= b for a, b in zip(losses, others, strict=True))


class _Window(optuna.storages.InMemoryStorage):
    """Shows some of its trials; what a sampler notes in the study is handed on to the study itself.

    Its one study has the key 0, and its trials their numbers as keys.
    """

    def __init__(self, shown: _Shown, study: optuna.Study) -> None:
        super().__init__()
        self._shown, self._mirrored = shown, study

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        key: int = super().create_new_study(directions, study_name)
        noted = self._mirrored._storage.get_study_system_attrs(self._mirrored._study_id)
        for name, value in noted.items():
            super().set_study_system_attr(key, name, value)
        return key

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT002 - the signature is Optuna's
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        running = (self.get_trial(number) for number in self._shown.under_way)
        shown = sorted([*self._shown.ended, *running], key=attrgetter("number"))
        shown = [trial for trial in shown if states is None or trial.state in states]
        return copy.deepcopy(shown) if deepcopy else shown

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        mirrored = self._mirrored
        mirrored._storage.set_study_system_attr(mirrored._study_id, key, value)
