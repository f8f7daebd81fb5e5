"""What one study hands to another: the parameters of its trials, changed to what the other device runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from search.asking import Asker, Declined, candidate_of
from search.errors import StudyError
from search.front import front
from search.plan import StudyPlan
from search.storage import read_facts, read_study
from search.strategies import strategy_of
from spaces.catalog import DEFAULTS, load_space
from spaces.chooser import Choices, Pick, range_named
from spaces.errors import SpaceError
from spaces.forms import answers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from search.places import Places
    from search.storage import Facts
    from search.trial import TrialRecord
    from spaces.candidate import Precision
    from spaces.chooser import Integers, Ranges, Reals, Scalar

PLAIN: tuple[Precision, ...] = ("int8", "float32")
"""What a form is made in where the other device does not run its own precision: the first that it runs."""
OF_A_DEVICE = frozenset(
    {
        "device",
        "name",
        "objectives",
        "limits",
        "limit_on",
        "input_type",
        "threads",
        "firmware",
        "trials",
        "timeout_s",
        "workers",
        "source",
        "training",
    }
)
"""What of a plan is not carried to another device: its goals, limits and inputs are its own."""


def plan_for(
    source: StudyPlan, first: Ranges, study: str, device: str, trials: int | None, runs: Sequence[Precision]
) -> dict[str, Any]:
    """Return the content of a plan that measures a study's networks on another device, which `runs` those.

    Without `trials` nothing is trained and nothing new is tried, of all networks within the `first` ranges of
    the study, though it may have narrower ones by now; with them the search goes on from there.
    """
    if trials is None:
        began = {name: range_named(first, name) for name in source.ranges}
        source = source.model_copy(update={"ranges": began})
    content = source.model_dump(mode="json", exclude=set(OF_A_DEVICE), exclude_none=True)
    asked = source.ranges.get("precision")
    if isinstance(asked, Choices):
        both = [precision for precision in asked.options if precision in runs]
        content["ranges"] = {**content["ranges"], "precision": both or list(runs)}
    more = {"training": False} if trials is None else {"trials": trials}
    return {**content, "device": device, "source": study, **more}


def carried(
    places: Places, plan: StudyPlan, ranges: Ranges, say: Callable[[str], None]
) -> tuple[dict[str, Any], ...]:
    """Return the parameters to begin with: of all networks that the source measured, the front's first.

    Where the plan trains, of the front alone: what another study learnt, and not all that it tried. What lies
    outside of `ranges` is left to the sampler, and `say` is told. Raises StudyError where there is no such
    study, or where it has nothing to hand on, SpaceError where its space is not there any more.
    """
    assert plan.source is not None  # who has no source does not ask
    study = places.study(plan.source)
    record, facts = read_study(study), read_facts(study)
    best = list(_one_each(front(record.trials, record.goals), plan))
    kept = [t for t in record.trials if t.state == "measured" and t.duplicate_of is None]
    chosen = best if plan.training else [*best, *(trial for trial in kept if trial not in best)]
    if not chosen:
        raise StudyError(
            f"the study '{plan.source}' has measured nothing yet that could be carried to another; "
            f"`edgesearch trials {plan.source}` says why"
        )
    params = {trial.number: trial.params for trial in study.get_trials(deepcopy=False)}
    answered = [_answered(facts, params[trial.number]) for trial in chosen]
    if outside := sorted({name for answers in answered for name in _outside(answers, ranges)}):
        say(
            f"what '{plan.source}' had of {', '.join(outside)} lies outside of the ranges in part, and is "
            "chosen anew there"
        )
    forms = [answers_of(trial.candidate.compression) if trial.candidate else {} for trial in chosen]
    return tuple(runnable({**form, **own}, ranges) for form, own in zip(forms, answered, strict=True))


def _one_each(best: Iterable[TrialRecord], plan: StudyPlan) -> Iterator[TrialRecord]:
    """Yield the trials, but one per network where its other forms will be harvested."""
    seen: set[str] = set()
    for trial in best:
        network = trial.candidate.base.digest if trial.candidate else str(trial.number)
        if network not in seen or not (plan.training and strategy_of(plan).harvest):
            yield trial
        seen.add(network)


def _answered(facts: Facts, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return all that led to a trial: what was asked, and what was not since its range left no choice."""
    if facts.model is not None:
        return dict(params)
    space = load_space(facts.plan.space or DEFAULTS[facts.problem.kind])
    pick = Pick(_Told(params), Asker(space, facts).ranges)
    with suppress(Declined):  # the ranges were others then
        candidate_of(space, pick, facts.problem)
    return {**pick.settled, **params}


class _Told:
    """Answers what a trial was asked, whatever the ranges are now."""

    def __init__(self, params: Mapping[str, Scalar]) -> None:
        self._params = params

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:  # noqa: ARG002 - the seam's
        if name not in self._params:
            raise Declined(name)
        return self._params[name]


def runnable(params: Mapping[str, Scalar], ranges: Ranges) -> dict[str, Scalar]:
    """Return those parameters that lie within `ranges`, in a precision that does."""
    asked, changed = ranges.get("precision"), dict(params)
    if isinstance(asked, Choices) and not asked.holds(params["precision"]):
        plain = next((precision for precision in PLAIN if asked.holds(precision)), asked.options[0])
        changed |= {"precision": plain, "quantization": "post-training"}
    return {name: value for name, value in changed.items() if _holds(_range(ranges, name), value)}


def _outside(answers: Mapping[str, Scalar], ranges: Ranges) -> Iterator[str]:
    """Yield the names of what is asked for here, but not as it was; another precision is chosen with care."""
    for name, value in answers.items():
        within = _range(ranges, name)
        if within is not None and name != "precision" and not within.holds(value):
            yield name


def _holds(within: Integers | Reals | Choices | None, value: Scalar) -> bool:
    return within is not None and within.holds(value)


def _range(ranges: Ranges, name: str) -> Integers | Reals | Choices | None:
    try:
        return range_named(ranges, name)
    except SpaceError:
        return None


def of_study(places: Places, study: str) -> Facts:
    """Return a study's facts. Raises StudyError where there is none, or it is of a network of one's own."""
    facts = read_facts(places.study(study))
    if facts.model is not None:
        raise StudyError(
            f"the study '{study}' is of a network of yours: give `edgesearch study --model` the other device"
        )
    return facts
