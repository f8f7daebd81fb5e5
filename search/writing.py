"""Writes trials into an Optuna storage, several of them and all that there is to say in one transaction.

Optuna's own interface has one transaction per parameter, attribute and state: some thirty for a trial. On a
relational storage the steps of these are taken in one session here, which also means that a kill leaves all
of it or nothing. Other storages are written through the interface, in such an order that a kill between two
steps loses nothing: what was learnt before the word that it is over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from search.storage import quiet_optuna

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# What follows leans on the inside of one release of Optuna, which is pinned (see pyproject.toml).
# ruff: noqa: SLF001


class Place(NamedTuple):
    """Where a trial is in a storage: its key there, and the number by which people know it."""

    id: int
    number: int


@dataclass(frozen=True)
class Entry:
    """What is to be written of one trial: its present state and values, and parameters and attributes to add.

    Without a `place` it is a new one. A trial that waits is begun by any entry about it.
    """

    trial: FrozenTrial
    place: Place | None = None


def write(study: optuna.Study, entries: Sequence[Entry]) -> list[Place]:
    """Write the entries in their order; return where they are."""
    storage, library = study._storage, quiet_optuna()
    backend = getattr(storage, "_backend", storage)  # a relational storage comes wrapped in a cache
    if isinstance(backend, library.storages.RDBStorage):
        return _in_one_session(backend, study._study_id, entries)
    return [_step_by_step(storage, study._study_id, entry) for entry in entries]


def waiting(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that wait to be asked, in order of number; cheap where there is none."""
    storage = getattr(study._storage, "_backend", study._storage)  # its cache reads what runs anew each time
    states = (quiet_optuna().trial.TrialState.WAITING,)
    found: list[FrozenTrial] = storage.get_all_trials(study._study_id, deepcopy=False, states=states)
    return found


def _step_by_step(storage: Any, study_id: int, entry: Entry) -> Place:
    trial, place, states = entry.trial, entry.place, quiet_optuna().trial.TrialState
    if place is None:
        key = storage.create_new_trial(study_id, trial)
        return Place(key, storage.get_trial_number_from_id(key))
    if storage.get_trial(place.id).state == states.WAITING:
        storage.set_trial_state_values(place.id, states.RUNNING)
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        storage.set_trial_param(place.id, name, distribution.to_internal_repr(value), distribution)
    for name, value in trial.user_attrs.items():
        storage.set_trial_user_attr(place.id, name, value)
    for name, value in trial.system_attrs.items():
        storage.set_trial_system_attr(place.id, name, value)
    if trial.state.is_finished():
        storage.set_trial_state_values(place.id, trial.state, trial.values)
    return place


def _in_one_session(backend: Any, study_id: int, entries: Sequence[Entry]) -> list[Place]:
    from optuna.storages._rdb.models import StudyModel
    from optuna.storages._rdb.storage import _create_scoped_session

    with _create_scoped_session(backend.scoped_session) as session:
        StudyModel.find_or_raise_by_id(study_id, session, for_update=True)  # numbers are given one by one
        return [_written(backend, session, study_id, entry) for entry in entries]


def _written(backend: Any, session: Any, study_id: int, entry: Entry) -> Place:
    from optuna.storages._rdb.models import TrialModel

    trial, states = entry.trial, quiet_optuna().trial.TrialState
    if entry.place is None:
        row = TrialModel(study_id=study_id, state=states.RUNNING, datetime_start=trial.datetime_start)
        session.add(row)
        session.flush()
        row.number = row.count_past_trials(session)
    else:
        row = TrialModel.find_or_raise_by_id(entry.place.id, session, for_update=True)
        backend.check_trial_is_updatable(row.trial_id, row.state)
    if row.state == states.WAITING:
        row.state, row.datetime_start = states.RUNNING, datetime.now()  # noqa: DTZ005 - as Optuna has it
    _fill(backend, session, row, trial)
    if trial.state.is_finished():
        row.state, row.datetime_complete = trial.state, datetime.now()  # noqa: DTZ005 - as Optuna has it
    return Place(int(row.trial_id), int(row.number))


def _fill(backend: Any, session: Any, row: Any, trial: FrozenTrial) -> None:
    from optuna.storages._rdb.models import TrialSystemAttributeModel, TrialUserAttributeModel

    _add_params(session, row, trial)
    _set_attributes(session, row, TrialUserAttributeModel, trial.user_attrs)
    _set_attributes(session, row, TrialSystemAttributeModel, trial.system_attrs)
    for objective, value in enumerate(trial.values or ()):
        backend._set_trial_value_without_commit(session, row, objective, value)


def _add_params(session: Any, row: Any, trial: FrozenTrial) -> None:
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb.models import TrialParamModel

    if not trial.params:
        return
    known = {param.param_name for param in session.query(TrialParamModel).filter_by(trial_id=row.trial_id)}
    for name, value in trial.params.items():
        if name not in known:
            distribution = trial.distributions[name]
            inside, described = distribution.to_internal_repr(value), distribution_to_json(distribution)
            session.add(
                TrialParamModel(
                    trial_id=row.trial_id, param_name=name, param_value=inside, distribution_json=described
                )
            )


def _set_attributes(session: Any, row: Any, model: Any, attributes: Mapping[str, Any]) -> None:
    if not attributes:
        return
    known = {found.key: found for found in session.query(model).filter_by(trial_id=row.trial_id)}
    for name, value in attributes.items():
        if name in known:
            known[name].value_json = json.dumps(value)
        else:
            session.add(model(trial_id=row.trial_id, key=name, value_json=json.dumps(value)))
