"""Studies in an Optuna storage: the truth that every view is made from.

What a study needs beyond its trials is one JSON attribute (`Facts`); a trial has `candidate` when it is
asked and `outcome` when it is told, so that `optuna.load_study` opens the same study anywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Anchor
from objectives.brought.value import BroughtModel
from objectives.datasets.spec import DataSummary
from objectives.goals import Goal, Violation, violations
from objectives.outcome import OUTCOME, Evidence, Infeasible, Measured, Outcome
from search.confirmation import confirmations_in
from search.errors import StudyError
from search.plan import StudyPlan
from search.secrets import redact, secrets_of
from search.trial import State, StudyRecord, TrialRecord
from spaces.candidate import Candidate, Problem
from spaces.chooser import Range
from spaces.value import Value

if TYPE_CHECKING:
    import optuna

FACTS, CANDIDATE, OUTCOME_KEY = "edgesearch", "candidate", "outcome"
DUPLICATE_OF, RETRY_OF, RETRIES, DECLINED = "duplicate_of", "retry_of", "retries", "declined"
PARENT = "parent"
KEPT = "~kept"
"""Ends the name of a copy that exists while a study is rewritten; no study of ours can be called so."""
SQLITE_PATIENCE_S = 60
"""How long a writer waits for a reader, who may be reading thousands of trials."""


class Facts(Value):
    """What a study is, beside its trials. `ranges` are those of its first plan, which bound later ones.

    `model` is the network that was brought, if there is one, and `baseline` the study's metric of it on
    validation data.
    """

    format: Literal[1] = 1
    identity: dict[str, str]
    plan: StudyPlan
    space: str
    ranges: dict[str, Range]
    problem: Problem
    data: DataSummary
    profile: HardwareProfile
    anchor: Anchor | None
    majority_accuracy: float
    versions: dict[str, str]
    model: BroughtModel | None = None
    baseline: float | None = None


@cache
def quiet_optuna() -> Any:
    """Return the module `optuna`, silenced: what it has to say is said by the progress."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def experimental() -> Iterator[None]:
    """Let the block use what Optuna calls experimental, without a warning; its version is pinned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=quiet_optuna().exceptions.ExperimentalWarning)
        yield


def open_storage(url: str) -> Any:
    """Open a storage by its URL. Raises StudyError, without the URL's password, if that fails."""
    storages = quiet_optuna().storages
    try:
        if url.startswith("sqlite"):
            patient = {"connect_args": {"timeout": SQLITE_PATIENCE_S}}
            return storages.get_storage(storages.RDBStorage(url, engine_kwargs=patient))
        return storages.get_storage(url)
    except Exception as error:  # whatever the database's driver raises, the way out is the same
        known = secrets_of(url)
        reason = redact(" ".join(str(error).split()), known)[:300]
        raise StudyError(
            f"the storage '{redact(url, known)}' cannot be opened ({reason}); check --storage"
        ) from error


def unreachable(error: BaseException) -> StudyError | None:
    """Return what to say of an error if it is a storage that cannot be read or written, else None."""
    if not {base.__module__.split(".")[0] for base in type(error).__mro__} & {"sqlalchemy", "optuna"}:
        return None
    optuna = quiet_optuna()
    if isinstance(error, optuna.exceptions.OptunaError) and not isinstance(
        error, optuna.exceptions.StorageInternalError
    ):
        return None
    cause = error.__cause__ or error
    reason = redact(" ".join(str(getattr(cause, "orig", cause)).split()))[:200]
    return StudyError(
        f"the storage cannot be read or written ({reason}); see to its disk or server, and the same command "
        "goes on"
    )


@contextmanager
def reaching() -> Iterator[None]:
    """Turn a storage that fails while the block runs (a full disk, a server that went) into a StudyError."""
    try:
        yield
    except Exception as error:
        told = unreachable(error)
        if told is None:
            raise
        raise told from error


def study_names(storage: Any) -> list[str]:
    """List the studies of ours in a storage."""
    summaries = quiet_optuna().get_all_study_summaries(storage, include_best_trial=False)
    ours = {s.study_name for s in summaries if FACTS in s.user_attrs}
    return sorted({name.removesuffix(KEPT) for name in ours})


def create(storage: Any, name: str, goals: Iterable[Goal]) -> optuna.Study:
    """Make a study whose objectives are those of the goals, by their metrics' names."""
    objectives = [goal for goal in goals if goal.objective]
    directions = [goal.direction for goal in objectives]
    library = quiet_optuna()
    try:
        study: optuna.Study = library.create_study(study_name=name, storage=storage, directions=directions)
    except library.exceptions.DuplicatedStudyError as error:
        raise StudyError(f"the study '{name}' was made by another process just now; try again") from error
    with experimental():
        study.set_metric_names([goal.metric for goal in objectives])
    return study


def load(storage: Any, name: str) -> optuna.Study:
    """Load a study of ours. Raises StudyError with a suggestion where there is none of that name."""
    for stored in (name, name + KEPT):
        try:
            study: optuna.Study = quiet_optuna().load_study(study_name=stored, storage=storage)
        except KeyError:
            continue
        if FACTS in study.user_attrs:
            return study
    close = get_close_matches(name, study_names(storage), n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise StudyError(f"no study named '{name}'; {hint}(`edgesearch studies` lists all)")


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
            f"the study '{study.study_name}' was written by another version of edgesearch (it differs in "
            f"'{where}'); open it with that version, or start one under another --name"
        ) from error


def write_facts(study: optuna.Study, facts: Facts) -> None:
    """Store the study's facts."""
    study.set_user_attr(FACTS, facts.model_dump_json())


def read_study(study: optuna.Study) -> StudyRecord:
    """Return a study as a value, every trial in it that is not a repetition of another."""
    facts = read_facts(study)
    record = make_record(study.study_name, facts, read_trials(study, facts.plan))
    return record.model_copy(update={"confirmations": confirmations_in(study.user_attrs)})


def make_record(name: str, facts: Facts, trials: tuple[TrialRecord, ...]) -> StudyRecord:
    """Join facts and trials."""
    # The parts were validated when they were made; validating thousands of trials again takes seconds.
    return StudyRecord.model_construct(
        name=name.removesuffix(KEPT),
        plan=facts.plan,
        space=facts.space,
        data=facts.data,
        profile=facts.profile,
        anchor=facts.anchor,
        majority_accuracy=facts.majority_accuracy,
        versions=facts.versions,
        trials=trials,
        model=facts.model,
    )


def read_trials(study: optuna.Study, plan: StudyPlan) -> tuple[TrialRecord, ...]:
    """Return the trials in order of number, judged by the plan's limits as they stand now.

    Left out are duplicates (answered from the record), what a later trial asked again, asks that fell
    outside the ranges of their call, and what was screened out by a limit that it would keep today.
    """
    trials, goals = study.get_trials(deepcopy=False), plan.goals
    superseded = {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}
    records = (
        record(t, goals)
        for t in trials
        if t.number not in superseded and DUPLICATE_OF not in t.user_attrs and DECLINED not in t.user_attrs
    )
    return tuple(found for found in records if found is not None)


def record(trial: optuna.trial.FrozenTrial, goals: Sequence[Goal]) -> TrialRecord | None:
    """Return one trial as a value, or None where its verdict does not hold under the limits of the goals."""
    attributes = trial.user_attrs
    candidate = attributes.get(CANDIDATE)
    told = attributes.get(OUTCOME_KEY) if trial.state.is_finished() else None
    outcome = None if told is None else judged(OUTCOME.validate_json(told), goals)
    if told is not None and outcome is None:
        return None
    return TrialRecord(
        number=trial.number,
        state=_state(trial, outcome),
        candidate=None if candidate is None else Candidate.model_validate_json(candidate),
        outcome=outcome,
        duplicate_of=attributes.get(DUPLICATE_OF),
        retry_of=attributes.get(RETRY_OF),
        parent=attributes.get(PARENT),
    )


def _state(trial: optuna.trial.FrozenTrial, outcome: Outcome | None) -> State:
    if outcome is not None:
        return outcome.state
    states = quiet_optuna().trial.TrialState
    unfinished: dict[Any, State] = {states.RUNNING: "running", states.WAITING: "waiting"}
    return unfinished.get(trial.state, "failed")


def judged(outcome: Outcome, goals: Sequence[Goal]) -> Outcome | None:
    """Return the outcome as the present limits of the goals judge it: they may change between calls.

    None for a candidate that was screened out before it was trained, by a limit that it would keep
    today: then nothing is known of it.
    """
    if not isinstance(outcome, Measured | Infeasible):
        return outcome
    evidence = outcome.evidence
    if isinstance(outcome, Measured) or evidence.artifact is not None:
        broken = violations(goals, evidence.values)
        return Infeasible(violations=broken, evidence=evidence) if broken else Measured(evidence=evidence)
    seen = {violation.metric: violation.value for violation in outcome.violations}
    broken = violations(goals, {**evidence.values, **seen})
    broken = tuple(b for b in broken if _screens(b, evidence))
    return Infeasible(violations=broken, evidence=evidence) if broken else None


def _screens(broken: Violation, evidence: Evidence) -> bool:
    """Tell whether a blank would be screened out for that, as `Evaluator` does it.

    A latency has the benefit of the doubt: its whole interval has to break the limit. What a blank was seen
    to take now and then (median, p90) tells nothing of the trained network.
    """
    if broken.metric != "latency_ms":
        return not broken.metric.startswith("latency_")
    timed = evidence.latency.measurement if evidence.latency else None
    timed = timed or next((m for m in evidence.measurements if m.metric == "latency_ms"), None)
    return timed is None or timed.low is None or timed.low > broken.limit
