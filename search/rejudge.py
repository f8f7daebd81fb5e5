"""Rewrites a study whose limits changed, so that its sampler and `optuna.load_study` see them too.

What a trial was told cannot be changed, neither its state nor its constraints. So the study is made
anew with the same trials under the same numbers. Through a copy, such that a kill at any instant leaves
one whole study: the copy counts once it has its facts, which are written last, and is removed once the
study made anew has its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objectives.outcome import OUTCOME
from search.storage import DUPLICATE_OF, FACTS, KEPT, OUTCOME_KEY, Facts, create, judged, quiet_optuna
from search.telling import constraints, ending

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from search.plan import StudyPlan

_CONSTRAINT = "constraints:"
"""What Optuna's own attributes of a trial that hold its constraints begin with."""


def rejudge(study: optuna.Study, facts: Facts) -> optuna.Study:
    """Return the study made anew with its trials as the plan of `facts` judges them."""
    name, storage = study.study_name, study._storage  # noqa: SLF001 - there is no other way to its storage
    _copied(study, storage, name + KEPT, study.get_trials(deepcopy=False), study.user_attrs[FACTS])
    return _renewed(storage, name, facts.model_dump_json())


def recovered(storage: Any, name: str) -> None:
    """Finish or undo what a kill cut off in `rejudge`."""
    optuna = quiet_optuna()
    names = optuna.get_all_study_names(storage)
    if name + KEPT not in names:
        return
    kept = optuna.load_study(study_name=name + KEPT, storage=storage)
    whole = name in names and FACTS in optuna.load_study(study_name=name, storage=storage).user_attrs
    if not whole and FACTS in kept.user_attrs:
        _renewed(storage, name, kept.user_attrs[FACTS])
    else:
        optuna.delete_study(study_name=name + KEPT, storage=storage)


def _renewed(storage: Any, name: str, facts_json: str) -> optuna.Study:
    """Make the study from its copy, judged by the plan of the facts, and remove the copy."""
    optuna = quiet_optuna()
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    kept = optuna.load_study(study_name=name + KEPT, storage=storage)
    plan = Facts.model_validate_json(facts_json).plan
    old = kept.get_trials(deepcopy=False)
    trials = [_judged(trial, old, plan) for trial in old]
    study = _copied(kept, storage, name, trials, facts_json)
    optuna.delete_study(study_name=name + KEPT, storage=storage)
    return study


def _copied(
    source: optuna.Study, storage: Any, name: str, trials: list[FrozenTrial], facts_json: str
) -> optuna.Study:
    library = quiet_optuna()
    if name in library.get_all_study_names(storage):
        library.delete_study(study_name=name, storage=storage)
    study = create(storage, name, Facts.model_validate_json(facts_json).plan.goals)
    for key, value in source.user_attrs.items():
        if key != FACTS:
            study.set_user_attr(key, value)
    study.add_trials(trials)
    study.set_user_attr(FACTS, facts_json)
    return study


def _judged(trial: FrozenTrial, trials: list[FrozenTrial], plan: StudyPlan) -> FrozenTrial:
    """Return a finished trial with the state, values and constraints that the plan gives it."""
    optuna = quiet_optuna()
    told = trials[trial.user_attrs.get(DUPLICATE_OF, trial.number)].user_attrs.get(OUTCOME_KEY)
    if told is None or not trial.state.is_finished():
        return trial
    outcome, states = judged(OUTCOME.validate_json(told), plan.goals), optuna.trial.TrialState
    # Where nothing is known of it any more, it may be proposed.
    state, values = (states.FAIL, None) if outcome is None else ending(outcome, plan)
    own = {key: value for key, value in trial.system_attrs.items() if not key.startswith(_CONSTRAINT)}
    again: FrozenTrial = optuna.trial.create_trial(
        state=state,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=own,
        constraints=None if outcome is None else constraints(outcome, plan),
    )
    again.datetime_start, again.datetime_complete = trial.datetime_start, trial.datetime_complete
    return again
