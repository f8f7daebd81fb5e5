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
    library = quiet_optuna()
    waits = library.trial.TrialState.WAITING
    if isinstance(storage, library.storages.RDBStorage) and not _any_in(storage, study._study_id, waits):
        return []
    found: list[FrozenTrial] = storage.get_all_trials(study._study_id, deepcopy=False, states=(waits,))
    return found


def _any_in(backend: Any, study_id: int, state: optuna.trial.TrialState) -> bool:
    from optuna.storages._rdb.models import TrialModel
    from optuna.storages._rdb.storage import _create_scoped_session

    with _create_scoped_session(backend.scoped_session) as session:
        found = session.query(TrialModel.trial_id).filter_by(study_id=study_id, state=state)
        return found.first() is not None


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
    _fill(backend, session, row, trial, new=entry.place is None)
    if trial.state.is_finished():
        row.state, row.datetime_complete = trial.state, datetime.now()  # noqa: DTZ005 - as Optuna has it
    return Place(int(row.trial_id), int(row.number))


def _fill(backend: Any, session: Any, row: Any, trial: FrozenTrial, *, new: bool) -> None:
    """Add what a trial has; of a `new` one nothing can be there yet, which need not be asked."""
    from optuna.storages._rdb.models import (
        TrialSystemAttributeModel,
        TrialUserAttributeModel,
        TrialValueModel,
    )

    _add_params(session, row, trial, new=new)
    _set_attributes(session, row, TrialUserAttributeModel, trial.user_attrs, new=new)
    _set_attributes(session, row, TrialSystemAttributeModel, trial.system_attrs, new=new)
    if new:
        _insert(
            session, TrialValueModel, row, [_stored(place, v) for place, v in enumerate(trial.values or ())]
        )
        return
    for objective, value in enumerate(trial.values or ()):
        backend._set_trial_value_without_commit(session, row, objective, value)


def _stored(objective: int, value: float) -> dict[str, Any]:
    from optuna.storages._rdb.models import TrialValueModel

    stored, kind = TrialValueModel.value_to_stored_repr(value)
    return {"objective": objective, "value": stored, "value_type": kind}


def _add_params(session: Any, row: Any, trial: FrozenTrial, *, new: bool) -> None:
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb.models import TrialParamModel

    there = () if new or not trial.params else session.query(TrialParamModel).filter_by(trial_id=row.trial_id)
    known = {param.param_name for param in there}
    rows = []
    for name, value in trial.params.items():
        if name not in known:
            distribution = trial.distributions[name]
            described = distribution_to_json(distribution)
            inside = distribution.to_internal_repr(value)
            rows.append({"param_name": name, "param_value": inside, "distribution_json": described})
    _insert(session, TrialParamModel, row, rows)


def _set_attributes(session: Any, row: Any, model: Any, attributes: Mapping[str, Any], *, new: bool) -> None:
    there = () if new or not attributes else session.query(model).filter_by(trial_id=row.trial_id)
    known = {found.key: found for found in there}
    for name in known.keys() & attributes.keys():
        known[name].value_json = json.dumps(attributes[name])
    rows = [{"key": k, "value_json": json.dumps(v)} for k, v in attributes.items() if k not in known]
    _insert(session, model, row, rows)


def _insert(session: Any, model: Any, row: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows about a trial in one statement: an object for each takes several times as long."""
    if rows:
        session.execute(model.__table__.insert(), [{"trial_id": row.trial_id, **values} for values in rows])
