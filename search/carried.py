"""What one study hands to another: the parameters of its trials, changed to what the other device runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.errors import StudyError
from search.front import front
from search.plan import StudyPlan
from search.storage import CANDIDATE, read_facts, read_study
from search.strategies import strategy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import optuna

    from search.places import Places
    from search.trial import TrialRecord
    from spaces.candidate import Precision, Problem

PLAIN: tuple[Precision, ...] = ("int8", "float32")
"""What a form is made in where the other device does not run its own precision: the first that it runs."""
OF_A_DEVICE = frozenset(
    {
        "device",
        "name",
        "objectives",
        "limits",
        "firmware",
        "trials",
        "timeout_s",
        "workers",
        "source",
        "training",
    }
)
"""What of a plan is not carried to another device: its goals and limits are its own."""


def plan_for(source: StudyPlan, study: str, device: str, trials: int | None) -> dict[str, Any]:
    """Return the content of a plan that measures a study's networks on another device.

    Without `trials` nothing is trained and nothing new is tried; with them the search goes on from there.
    """
    content = source.model_dump(mode="json", exclude=set(OF_A_DEVICE), exclude_none=True)
    more = {"training": False} if trials is None else {"trials": trials}
    return {**content, "device": device, "source": study, **more}


def carried(places: Places, plan: StudyPlan, problem: Problem) -> tuple[dict[str, Any], ...]:
    """Return the parameters to begin with: of all networks that the source measured, the front's first.

    Where the plan trains, of the front alone: what another study learnt, and not all that it tried. Raises
    StudyError where there is no such study, or where it has nothing to hand on.
    """
    assert plan.source is not None  # who has no source does not ask
    study = places.study(plan.source)
    record = read_study(study)
    best = [trial.number for trial in _one_each(front(record.trials, record.goals), plan)]
    kept = [
        trial.number for trial in record.trials if trial.state == "measured" and trial.duplicate_of is None
    ]
    chosen = best if plan.training else [*best, *(number for number in kept if number not in best)]
    if not chosen:
        raise StudyError(
            f"the study '{plan.source}' has measured nothing yet that could be carried to another; "
            f"`edgesearch trials {plan.source}` says why"
        )
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    return tuple(runnable(trials[number], problem.precisions) for number in chosen if number in trials)


def _one_each(best: Iterable[TrialRecord], plan: StudyPlan) -> Iterator[TrialRecord]:
    """Yield the trials, but one per network where its other forms will be harvested."""
    seen: set[str] = set()
    for trial in best:
        network = trial.candidate.base.digest if trial.candidate else str(trial.number)
        if network not in seen or not (plan.training and strategy_of(plan).harvest):
            yield trial
        seen.add(network)


def runnable(trial: optuna.trial.FrozenTrial, precisions: tuple[Precision, ...]) -> dict[str, Any]:
    """Return a trial's parameters in a precision that is run."""
    assert CANDIDATE in trial.user_attrs  # what was measured was a candidate
    params = dict(trial.params)
    if params.get("precision") in precisions:
        return params
    plain = next((precision for precision in PLAIN if precision in precisions), precisions[0])
    return {**params, "precision": plain, "quantization": "post-training"}


def of_study(places: Places, study: str) -> StudyPlan:
    """Return a study's plan. Raises StudyError where there is none, or it is of a network of one's own."""
    facts = read_facts(places.study(study))
    if facts.model is not None:
        raise StudyError(
            f"the study '{study}' is of a network of yours: give `edgesearch study --model` the other device"
        )
    return facts.plan
