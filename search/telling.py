"""How a trial's end is written into the study, and what becomes of trials whose driver was ended.

The outcome is stored first and told second, so that a kill between the two loses nothing: what has an
outcome and still runs is told by the next driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objectives.goals import limited_metric
from objectives.outcome import OUTCOME, Failed, Infeasible, Measured, Outcome
from search.interrupts import uninterrupted
from search.plan import StudyPlan
from search.storage import (
    CANDIDATE,
    DECLINED,
    DUPLICATE_OF,
    OUTCOME_KEY,
    RETRIES,
    RETRY_OF,
    judged,
    quiet_optuna,
)

if TYPE_CHECKING:
    import optuna

MOST_RETRIES = 2


def finish(study: optuna.Study, trial: optuna.Trial, outcome: Outcome, plan: StudyPlan) -> None:
    """Store how a trial ended and tell the sampler."""
    trial.set_user_attr(OUTCOME_KEY, outcome.model_dump_json())
    tell(study, trial, outcome, plan)


def tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome, plan: StudyPlan) -> None:
    """Tell the sampler how a trial ended.

    Measured is COMPLETE. All else is PRUNED, with what is known of the limits: like this it steers the
    sampler away, which FAIL would not.
    """
    known = trial.storage.get_trial(trial._trial_id).constraints  # noqa: SLF001 - the only way to a trial's number
    for metric, value in constraints(outcome, plan).items():
        if metric not in known:  # a constraint is written once
            trial.set_constraint(metric, value)
    state, values = ending(outcome, plan)
    study.tell(trial, values, state=state)


def ending(outcome: Outcome, plan: StudyPlan) -> tuple[optuna.trial.TrialState, list[float] | None]:
    """Return the state in which a trial with that outcome ends, and its values, one per objective."""
    states = quiet_optuna().trial.TrialState
    if not isinstance(outcome, Measured):
        return states.PRUNED, None
    values = outcome.evidence.values
    return states.COMPLETE, [values[goal.metric] for goal in plan.goals if goal.objective]


def declined(plan: StudyPlan, *, steer_away: bool) -> tuple[optuna.trial.TrialState, None, dict[str, float]]:
    """Return state, values and constraints of an ask that led to no candidate of its own."""
    states = quiet_optuna().trial.TrialState
    if not steer_away:
        return states.FAIL, None, {}
    # A sampler that knows constraints wants them of every trial.
    return states.PRUNED, None, dict.fromkeys(plan.metrics, 0.0)


def constraints(outcome: Outcome, plan: StudyPlan) -> dict[str, float]:
    """Return a violation for every metric, always in the same order; what is not known breaks nothing."""
    values = dict(outcome.evidence.values)
    if isinstance(outcome, Infeasible):
        values.update({broken.metric: broken.value for broken in outcome.violations})
    found: dict[str, float] = dict.fromkeys(plan.metrics, 0.0)
    for goal in plan.goals:
        if (value := values.get(limited_metric(goal))) is not None:
            found[goal.metric] = goal.violation(value)
    return found


def requeue(study: optuna.Study, plan: StudyPlan, *, blame: bool) -> int:
    """Bring what was under way when the last driver ended to an end; return how many are asked again.

    With `blame`, a trial counts how often its driver died with it, and is given up after MOST_RETRIES:
    it may have been the reason. Left RUNNING, such trials would repel the sampler for ever.
    """
    running = study.get_trials(deepcopy=False, states=(quiet_optuna().trial.TrialState.RUNNING,))
    with uninterrupted():
        return sum(_settle(study, plan, trial, blame=blame) for trial in running)


def _settle(study: optuna.Study, plan: StudyPlan, trial: optuna.trial.FrozenTrial, *, blame: bool) -> bool:
    attributes, fail = trial.user_attrs, quiet_optuna().trial.TrialState.FAIL
    if told := attributes.get(OUTCOME_KEY):
        outcome = OUTCOME.validate_json(told)
        _finish_frozen(study, trial, judged(outcome, plan.goals) or outcome, plan)
        return False
    if DUPLICATE_OF in attributes or DECLINED in attributes:
        study.tell(trial.number, state=fail)
        return False
    retries = attributes.get(RETRIES, 0) + blame
    if retries > MOST_RETRIES and CANDIDATE in attributes:
        error = f"the process ended {retries} times while this trial ran in it"
        _finish_frozen(study, trial, Failed(error=error), plan)
        return False
    wanted: dict[str, Any] = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    # Asked again before it is given up: a kill between the two repeats an ask and loses none.
    study.enqueue_trial(wanted, user_attrs={RETRY_OF: trial.number, RETRIES: retries})
    study.tell(trial.number, state=fail)
    return True


def _finish_frozen(
    study: optuna.Study, trial: optuna.trial.FrozenTrial, outcome: Outcome, plan: StudyPlan
) -> None:
    finish(study, quiet_optuna().trial.Trial(study, trial._trial_id), outcome, plan)  # noqa: SLF001 - see tell
