"""Studies in an Optuna storage: the truth that every view is made from.

What a study needs beyond its trials is one JSON attribute (`Facts`); a trial has `candidate` when it is
asked and `outcome` when it is told, so that `optuna.load_study` opens the same study anywhere.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Anchor
from objectives.datasets.spec import DataSummary
from objectives.outcome import OUTCOME, Outcome
from search.errors import StudyError
from search.plan import StudyPlan
from search.secrets import redact
from search.trial import State, StudyRecord, TrialRecord
from spaces.candidate import Candidate, Problem
from spaces.chooser import Range
from spaces.value import Value

if TYPE_CHECKING:
    import optuna

FACTS, CANDIDATE, OUTCOME_KEY = "edgesearch", "candidate", "outcome"
DUPLICATE_OF, RETRY_OF, RETRIES, DECLINED = "duplicate_of", "retry_of", "retries", "declined"


class Facts(Value):
    """What a study is, beside its trials. `ranges` are those of its first plan, which bound later ones."""

    format: int = 1
    identity: dict[str, str]
    plan: StudyPlan
    space: str
    ranges: dict[str, Range]
    problem: Problem
    data: DataSummary
    profile: HardwareProfile
    anchor: Anchor
    majority_accuracy: float
    versions: dict[str, str]


@cache
def quiet_optuna() -> Any:
    """Return the module `optuna`, silenced: what it has to say is said by the progress."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def open_storage(url: str) -> Any:
    """Open a storage by its URL. Raises StudyError, without the URL's password, if that fails."""
    optuna = quiet_optuna()
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # whatever the database's driver raises, the way out is the same
        reason = redact(" ".join(str(error).split()))[:300]
        raise StudyError(f"the storage '{redact(url)}' cannot be opened ({reason}); check --storage") from error


def study_names(storage: Any) -> list[str]:
    """List the studies of ours in a storage."""
    summaries = quiet_optuna().get_all_study_summaries(storage, include_best_trial=False)
    return sorted(s.study_name for s in summaries if FACTS in s.user_attrs)


def load(storage: Any, name: str, sampler: Any = None) -> optuna.Study:
    """Load a study of ours. Raises StudyError with a suggestion where there is none of that name."""
    try:
        study = quiet_optuna().load_study(study_name=name, storage=storage, sampler=sampler)
    except KeyError:
        study = None
    if study is None or FACTS not in study.user_attrs:
        close = get_close_matches(name, study_names(storage), n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise StudyError(f"no study named '{name}'; {hint}(`edgesearch studies` lists all)")
    return study  # type: ignore[no-any-return]


def taken(storage: Any, name: str) -> bool:
    """Tell whether a study of ours has that name. What was cut off while it was made is removed.

    Raises StudyError where the name belongs to an Optuna study that is not ours.
    """
    optuna = quiet_optuna()
    if name not in optuna.get_all_study_names(storage):
        return False
    study = optuna.load_study(study_name=name, storage=storage)
    if FACTS in study.user_attrs:
        return True
    if study.get_trials(deepcopy=False):
        raise StudyError(f"'{name}' is an Optuna study that edgesearch did not make; choose another --name")
    optuna.delete_study(study_name=name, storage=storage)
    return False


def read_facts(study: optuna.Study) -> Facts:
    """Return the study's facts. Raises StudyError where another version wrote them."""
    try:
        return Facts.model_validate_json(study.user_attrs[FACTS])
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StudyError(
            f"the study '{study.study_name}' was written by another version of edgesearch (it differs in '{where}'); "
            "open it with that version or start one under another --name"
        ) from error


def write_facts(study: optuna.Study, facts: Facts) -> None:
    """Store the study's facts."""
    study.set_user_attr(FACTS, facts.model_dump_json())


def read_study(study: optuna.Study) -> StudyRecord:
    """Return a study as a value, every trial in it that is not a repetition of another."""
    facts = read_facts(study)
    return make_record(study.study_name, facts, read_trials(study, facts.plan))


def make_record(name: str, facts: Facts, trials: tuple[TrialRecord, ...]) -> StudyRecord:
    """Join facts and trials."""
    shared = {key: getattr(facts, key) for key in ("plan", "space", "data", "profile", "anchor", "versions")}
    # The parts were validated when they were made; validating thousands of trials again takes seconds.
    return StudyRecord.model_construct(
        name=name, majority_accuracy=facts.majority_accuracy, trials=trials, **shared
    )


def read_trials(study: optuna.Study, plan: StudyPlan) -> tuple[TrialRecord, ...]:
    """Return the trials in order of number, judged by the plan's limits as they stand now.

    Left out are duplicates (answered from the record), what a later trial asked again, and asks that
    fell outside the ranges of their call.
    """
    trials = study.get_trials(deepcopy=False)
    superseded = {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}
    return tuple(
        record(t, plan)
        for t in trials
        if t.number not in superseded and DUPLICATE_OF not in t.user_attrs and DECLINED not in t.user_attrs
    )


def record(trial: optuna.trial.FrozenTrial, plan: StudyPlan) -> TrialRecord:
    """Return one trial as a value."""
    attributes = trial.user_attrs
    candidate = attributes.get(CANDIDATE)
    told = attributes.get(OUTCOME_KEY) if trial.state.is_finished() else None
    outcome = None if told is None else judged(OUTCOME.validate_json(told), plan)
    return TrialRecord(
        number=trial.number,
        state=_state(trial, outcome),
        candidate=None if candidate is None else Candidate.model_validate_json(candidate),
        outcome=outcome,
        duplicate_of=attributes.get(DUPLICATE_OF),
        retry_of=attributes.get(RETRY_OF),
    )


def _state(trial: optuna.trial.FrozenTrial, outcome: Outcome | None) -> State:
    if outcome is not None:
        return outcome.state
    states = quiet_optuna().trial.TrialState
    unfinished: dict[Any, State] = {states.RUNNING: "running", states.WAITING: "waiting"}
    return unfinished.get(trial.state, "failed")


def judged(outcome: Outcome, plan: StudyPlan) -> Outcome:
    """Return the outcome as the plan's present limits judge it: they may change between calls."""
    from objectives.goals import violations
    from objectives.outcome import Infeasible, Measured

    if not isinstance(outcome, Measured | Infeasible) or outcome.evidence.artifact is None:
        return outcome
    broken = violations(plan.goals, outcome.evidence.values)
    return Infeasible(violations=broken, evidence=outcome.evidence) if broken else Measured(evidence=outcome.evidence)
