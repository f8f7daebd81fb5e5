"""The Pareto front of a study: which measured trials nothing else beats in every objective."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from objectives.goals import Goal, limited_metric
from search.trial import TrialRecord


def figures(record: TrialRecord) -> dict[str, float]:
    """Return a trial's numbers by metric name, with the latency's statistics among them."""
    latency = record.latency
    if latency is None:
        return record.values
    return {
        "latency_ms": latency.latency_ms,
        "latency_median_ms": latency.median_ms,
        "latency_p90_ms": latency.p90_ms,
        **record.values,
    }


def keeps_limits(values: Mapping[str, float], goals: Iterable[Goal]) -> bool:
    """Tell whether every limit is known to be kept; a figure that is not known keeps none."""
    limited = [goal for goal in goals if goal.limit is not None]
    return all(
        limited_metric(goal) in values and goal.violation(values[limited_metric(goal)]) <= 0
        for goal in limited
    )


def eligible(records: Iterable[TrialRecord], goals: Iterable[Goal]) -> tuple[TrialRecord, ...]:
    """Return the measured trials that have every objective and keep every limit, by number.

    Of trials with the same candidate the one with the lowest number stands for all.
    """
    goals = tuple(goals)
    wanted = [goal.metric for goal in goals if goal.objective]
    by_candidate: dict[str, TrialRecord] = {}
    for record in sorted(records, key=lambda r: r.number):
        if record.state != "measured":
            continue
        values = figures(record)
        if all(metric in values for metric in wanted) and keeps_limits(values, goals):
            by_candidate.setdefault(
                record.candidate.digest if record.candidate else str(record.number), record
            )
    return tuple(by_candidate.values())


def loss(goal: Goal, value: float) -> float:
    """Return the value so that less is better, whatever the goal's direction."""
    return -value if goal.direction == "maximize" else value


def front(records: Iterable[TrialRecord], goals: Iterable[Goal]) -> tuple[TrialRecord, ...]:
    """Return the eligible trials that no other dominates, the best in the first objective first.

    One dominates another where it is nowhere worse and somewhere better; of trials equal in every
    objective the one with the lowest number is kept. Goals that are limits only do not compete.
    """
    import moocore
    import numpy as np

    goals = tuple(goals)
    objectives = [goal for goal in goals if goal.objective]
    candidates = eligible(records, goals)
    if not candidates:
        return ()
    losses = np.array([[loss(goal, figures(r)[goal.metric]) for goal in objectives] for r in candidates])
    kept = moocore.is_nondominated(losses, keep_weakly=False)
    ranked = sorted(
        (tuple(row), record.number, record)
        for row, record, keep in zip(losses, candidates, kept, strict=True)
        if keep
    )
    return tuple(record for _, _, record in ranked)


class Front:
    """A front that trials join one by one, each for the price of one pass over its points.

    Its `points` are what `front` returns for all that joined. No two trials are of the same candidate.
    """

    def __init__(self, goals: Iterable[Goal], records: Iterable[TrialRecord] = ()) -> None:
        self._goals = tuple(goals)
        self._objectives = [goal for goal in self._goals if goal.objective]
        self.points = front(records, self._goals)
        self._places = [self._place(point) for point in self.points]

    def join(self, record: TrialRecord) -> bool:
        """Let a trial compete; return whether it is on the front now."""
        if not eligible((record,), self._goals):
            return False
        new = self._place(record)
        if any(_before(place, new) for place in self._places):
            return False
        kept = [
            (place, point)
            for place, point in zip(self._places, self.points, strict=True)
            if not _before(new, place)
        ]
        ordered = sorted([*kept, (new, record)], key=itemgetter(0))
        self._places = [place for place, _ in ordered]
        self.points = tuple(point for _, point in ordered)
        return True

    def best(self, metric: str) -> TrialRecord | None:
        """Return the best point in one objective, of equals the first; None of no points."""
        at = [goal.metric for goal in self._objectives].index(metric)
        ranked = zip(self._places, self.points, strict=True)
        found = min(ranked, key=lambda known: (known[0][at], known[0][-1]), default=None)
        return None if found is None else found[1]

    def _place(self, trial: TrialRecord) -> tuple[float, ...]:
        values = figures(trial)
        return (*(loss(goal, values[goal.metric]) for goal in self._objectives), trial.number)


def _before(places: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether losses, with a number at their end, leave others no room on the front."""
    if places[:-1] == others[:-1]:
        return places[-1] < others[-1]
    return all(a <= b for a, b in zip(places[:-1], others[:-1], strict=True))


def best_of(records: Iterable[TrialRecord], goal: Goal) -> TrialRecord | None:
    """Return the best measured trial in one objective, or None where there is none.

    The goal's own limit is kept; for the limits of all goals pass what `eligible` returns. Of equals
    the lowest number wins.
    """
    known = [record for record in eligible(records, (goal,)) if goal.metric in figures(record)]
    return min(known, key=lambda r: (loss(goal, figures(r)[goal.metric]), r.number), default=None)
