"""Choosing one trial to ship: by its number, or from the front under a preference and limits.

The plain quickest or smallest network of a front is mostly a useless one, so a preference for speed
or size spends only a stated part of the accuracy:

accuracy   the best metric; of equals the quicker, then the smaller.
latency    the quickest within 2 points of the best metric.
size       the smallest within 2 points of the best metric.
balanced   of those within 5 points of the best metric, the nearest to their ideal (the best of each
           objective, which no single trial need reach), by distance on the hypervolume's scales.

A point is .01 of a metric to maximise, and 1 % of the majority-class guess's value for one to
minimise. "The best" is the best that keeps the limits. Of equals the lowest number wins.
"""

import math
from collections.abc import Iterable
from typing import Literal

from objectives.goals import Goal, Violation, violations
from search.errors import StudyError
from search.front import figures, front, loss
from search.hypervolume import scales_of
from search.limits import METRICS, Limits, refuse_not_positive
from search.plan import StudyPlan
from search.trial import StudyRecord, TrialRecord

Preference = Literal["accuracy", "latency", "size", "balanced"]

POINTS: dict[Preference, float] = {"accuracy": 0, "latency": 2, "size": 2, "balanced": 5}
"""How many points of accuracy each preference may spend."""


def order(preference: Preference, plan: StudyPlan) -> tuple[str, ...]:
    """Return what a preference looks at, in turn; bytes are those that the plan is about."""
    size = "model_bytes" if plan.counts == "stored" else "compressed_bytes"
    first: dict[Preference, str] = {"latency": "latency_ms", "size": size}
    everything = ("accuracy", "latency_ms", size)
    return tuple(dict.fromkeys((first.get(preference, "accuracy"), *everything)))


def choose(
    study: StudyRecord,
    *,
    prefer: Preference = "balanced",
    limits: Limits | None = None,
    trial: int | None = None,
) -> TrialRecord:
    """Return the trial to ship: number `trial` if given, else the preferred one of the front.

    `limits` are kept besides the plan's own. Raises StudyError where there is no such trial, with the
    reason, or where nothing keeps the limits, with the nearest and the limit that binds.
    """
    if trial is not None:
        return numbered(study, trial)
    goals = (*study.goals, *limit_goals(study.plan, _against_model(study, limits or Limits())))
    within = front(study.trials, goals)
    if not within:
        raise StudyError(_nothing_left(study, goals))
    return prefer_one(within, prefer, study)


def _against_model(study: StudyRecord, limits: Limits) -> Limits:
    """Return limits with that on the drop of accuracy as one on accuracy itself.

    Raises StudyError where there is no network to drop from.
    """
    if limits.accuracy_drop is None:
        return limits
    if study.as_it_is is None:
        raise StudyError(
            f"study '{study.name}' has no network of yours as it was brought to hold accuracy against; "
            "give --min-accuracy"
        )
    baseline = figures(study.as_it_is)["accuracy"]
    return study.plan.model_copy(update={"limits": limits}).measured_against(baseline).limits


def numbered(study: StudyRecord, number: int) -> TrialRecord:
    """Return the measured trial of that number. Raises StudyError with the reason where there is none."""
    record = next((r for r in study.trials if r.number == number), None)
    if record is None:
        held = f"{study.trials[0].number} to {study.trials[-1].number}" if study.trials else "none yet"
        raise StudyError(f"study '{study.name}' has no trial {number} (it has {held})")
    if record.state != "measured":
        why = f" ({record.reason})" if record.reason else ""
        raise StudyError(
            f"only a measured trial can be chosen, but trial {number} is {record.state}{why}; "
            f"`edgesearch front {study.name}` lists the best measured ones"
        )
    return record


def limit_goals(plan: StudyPlan, limits: Limits) -> tuple[Goal, ...]:
    """Return the limits as goals that are no objectives, with the plan's directions and statistic."""
    bounds = limits.bounds(plan.metric_direction)
    if plan.metric_direction == "minimize" and limits.accuracy is not None:
        refuse_not_positive(plan.metric, limits.accuracy)
    return tuple(
        Goal(
            metric=metric,
            direction=plan.metric_direction if metric == "accuracy" else "minimize",
            objective=False,
            limit=bounds[metric],
            limit_on=plan.limit_on if metric == "latency_ms" else "min",
        )
        for metric in METRICS
        if bounds[metric] is not None
    )


def prefer_one(records: Iterable[TrialRecord], preference: Preference, study: StudyRecord) -> TrialRecord:
    """Return the preferred one of some measured trials, by the rule at the top of this module.

    Raises StudyError without trials, or where they lack the figure that the preference is about.
    """
    pool = tuple(records)
    if not pool:
        raise StudyError("there is no measured trial to choose from")
    directions = {goal.metric: goal for goal in _all_goals(study.plan)}
    wanted, *_ = looked_at = order(preference, study.plan)
    if preference != "balanced" and any(wanted not in figures(r) for r in pool):
        raise StudyError(f"'{preference}' cannot be preferred: study '{study.name}' did not measure {wanted}")
    pool = _near_best(pool, directions["accuracy"], POINTS[preference], study.majority_accuracy)
    if preference == "balanced":
        return _nearest_to_ideal(pool, study)

    def rank(record: TrialRecord) -> tuple[float, ...]:
        values = figures(record)
        known = [metric for metric in looked_at if metric in values]
        return (*(loss(directions[metric], values[metric]) for metric in known), record.number)

    return min(pool, key=rank)


def _all_goals(plan: StudyPlan) -> tuple[Goal, ...]:
    return plan.model_copy(update={"objectives": plan.metrics}).goals


def _near_best(
    pool: tuple[TrialRecord, ...], metric: Goal, points: float, majority: float
) -> tuple[TrialRecord, ...]:
    if any(metric.metric not in figures(r) for r in pool):
        return pool
    slack = points / 100 * (1.0 if metric.direction == "maximize" else majority)
    losses = {r.number: loss(metric, figures(r)[metric.metric]) for r in pool}
    reach = min(losses.values()) + slack + 1e-12
    return tuple(r for r in pool if losses[r.number] <= reach)


def _nearest_to_ideal(pool: tuple[TrialRecord, ...], study: StudyRecord) -> TrialRecord:
    scales = scales_of(study.goals, study.majority_accuracy)
    places = {r.number: scales.places(figures(r)) for r in pool}
    ideal = [min(axis) for axis in zip(*places.values(), strict=True)]
    return min(pool, key=lambda r: (math.dist(places[r.number], ideal), r.number))


def _nothing_left(study: StudyRecord, goals: tuple[Goal, ...]) -> str:
    measured = (r for r in study.trials if r.state == "measured")
    broken = {r.number: v for r in measured if (v := violations(goals, figures(r)))}
    if not broken:
        say = f"`edgesearch trials {study.name}` says why"
        return f"study '{study.name}' has no measured trial to choose from; {say}"
    nearest = min(broken, key=lambda number: (sum(v.excess for v in broken[number]), number))
    return (
        f"no measured trial of study '{study.name}' keeps the limits; nearest is trial {nearest}, where "
        f"{'; '.join(_breach(v) for v in broken[nearest])}: relax that limit or let the study go on"
    )


def _breach(violation: Violation) -> str:
    return f"{violation.metric} is {violation.value:.4g} against a limit of {violation.limit:.4g}"
