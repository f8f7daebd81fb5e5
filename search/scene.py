"""What a picture of a study shows, sorted once for every renderer: groups, axes, limits, ticks."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from objectives.goals import Goal
from search.front import eligible, figures, front, loss
from search.tables import provenances, row
from search.trial import StudyRecord, TrialRecord
from search.units import human_bytes, human_ms

INK, MUTED, GRID, EDGE = "#1f2933", "#5f6b7a", "#e6eaee", "#ffffff"
REST, BROKEN, STOPPED = "#b8c0ca", "#d1495b", "#e39b2d"


@dataclass(frozen=True)
class Axis:
    """A metric on a log axis: its name, how it is written, and the unit that round numbers are counted in."""

    metric: str
    title: str
    text: Callable[[float], str]
    unit: float

    def ticks(self, low: float, high: float, most: int = 6) -> dict[float, str]:
        """Return round numbers that span a range, and how they are written: `{0.002: "2 us"}`."""
        return {n: brief(self.text(n)) for n in round_numbers(low, high, self.unit, most)}


LATENCY = Axis("latency_ms", "latency", human_ms, 1e-3)
ARENA = Axis("arena_bytes", "working memory", human_bytes, 1024)
SIZES = {
    "stored": Axis("model_bytes", "file size", human_bytes, 1024),
    "compressed": Axis("compressed_bytes", "file size, deflated", human_bytes, 1024),
}


@dataclass(frozen=True)
class Group:
    """Trials that are drawn alike."""

    name: str
    records: tuple[TrialRecord, ...]
    colour: str
    cross: bool = False

    def placed(self, axis: Axis) -> tuple[TrialRecord, ...]:
        """Return those with a place in a panel: an accuracy and the axis' metric."""
        return tuple(r for r in self.records if {"accuracy", axis.metric} <= figures(r).keys())

    def unplaced(self, axis: Axis) -> tuple[TrialRecord, ...]:
        """Return those with the axis' metric and no accuracy."""
        return tuple(r for r in self.records if axis.metric in figures(r) and "accuracy" not in figures(r))


@dataclass(frozen=True)
class Scene:
    """What both pictures show."""

    study: StudyRecord
    best: tuple[TrialRecord, ...]
    others: tuple[Group, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes that have something to show; all of them where nothing was measured."""
        used = tuple(a for a in self._both if any(a.metric in figures(r) for r in self.everything))
        return used or self._both

    @property
    def _both(self) -> tuple[Axis, Axis]:
        """Time and size; of a device whose latency nothing tells, memory and size."""
        return LATENCY if self.is_timed else ARENA, SIZES[self.study.plan.counts]

    @property
    def is_timed(self) -> bool:
        """Whether latency is known of something, or nothing tells of memory either."""
        known = {metric for record in self.everything for metric in figures(record)}
        return "latency_ms" in known or "arena_bytes" not in known

    @property
    def everything(self) -> tuple[TrialRecord, ...]:
        """All trials that are drawn."""
        return (*self.best, *(record for group in self.others for record in group.records))

    @property
    def subtitle(self) -> tuple[str, str]:
        """Two lines that say what is seen and where the numbers come from."""
        study = self.study
        measured = sum(r.state == "measured" for r in study.trials)
        threads = f"{study.plan.threads} thread{'s' if study.plan.threads > 1 else ''}"
        known = f"{study.plan.metric} on validation data of {study.data.name}"
        shown = self.best or self.everything
        timed = f"latency {provenances(shown)} on {study.profile.title} with {threads}"
        if not self.is_timed:
            timed = f"memory {provenances(shown, 'arena_provenance')} for {study.profile.title}; no latency"
        return f"Pareto front: {len(self.best)} of {measured} measured trials · {known}", timed

    def limit(self, metric: str) -> Goal | None:
        """Return the goal that limits a metric, or None."""
        return next((g for g in self.study.goals if g.metric == metric and g.limit is not None), None)

    def limit_text(self, goal: Goal, text: Callable[[float], str]) -> str:
        """Return a limit's label."""
        on = f" on {goal.limit_on}" if goal.limit_on != "min" else ""
        return f"limit{on} {brief(text(goal.limit or 0))}"

    def values(self, metric: str) -> list[float]:
        """Return all that is drawn on an axis, limits included."""
        goal = self.limit(metric)
        drawn = [figures(r)[metric] for r in self.everything if metric in figures(r)]
        return [*drawn, *([goal.limit] if goal and goal.limit is not None else [])]

    def stairs(self, axis: Axis) -> list[TrialRecord]:
        """Return the front's trials that none beats in this panel's two metrics, from left to right."""
        metric = Goal(metric="accuracy", direction=self.study.plan.metric_direction)
        placed = Group("front", self.best, "").placed(axis)
        steps: list[TrialRecord] = []
        for record in sorted(
            placed, key=lambda r: (figures(r)[axis.metric], loss(metric, figures(r)["accuracy"]))
        ):
            accuracy = loss(metric, figures(record)["accuracy"])
            if not steps or accuracy < loss(metric, figures(steps[-1])["accuracy"]):
                steps.append(record)
        return steps

    def colour_axis(self, axis: Axis) -> Axis | None:
        """Return the axis that a panel tells by colour: the one that it does not show, where all have it."""
        other = next((a for a in self._both if a is not axis), None)
        return other if other and all(other.metric in figures(r) for r in self.best) else None

    def spread(self, records: Iterable[TrialRecord]) -> tuple[list[float], list[float]]:
        """Return how far each latency's bounds lie below and above it, in ms; 0 where that is not known."""
        below, above = [], []
        for record in records:
            value, cells = figures(record)["latency_ms"], row(record)
            low, high = cells["latency_low_ms"], cells["latency_high_ms"]
            below.append(max(0.0, value - low) if isinstance(low, float) else 0.0)
            above.append(max(0.0, high - value) if isinstance(high, float) else 0.0)
        return below, above

    @property
    def accuracy_range(self) -> tuple[float, float]:
        """The accuracies to show, best last, with a margin."""
        seen = self.values("accuracy") or [0.0, 1.0]
        margin = 0.06 * (max(seen) - min(seen)) or 0.02
        low, high = min(seen) - margin, max(seen) + margin
        return (high, low) if self.study.plan.metric_direction == "minimize" else (low, high)


def scene_of(study: StudyRecord) -> Scene:
    """Sort a study's trials into what is drawn alike."""
    fits = eligible(study.trials, study.goals)
    best = front(study.trials, study.goals)
    numbers = {r.number for r in best}
    fitting = {r.candidate.digest for r in fits if r.candidate}
    fit_numbers = {r.number for r in fits}  # equal trials are not compared: that takes long
    breaks = tuple(
        r
        for r in study.trials
        if r.state == "infeasible"
        or (
            r.state == "measured"
            and r.number not in fit_numbers
            and not (r.candidate and r.candidate.digest in fitting)
        )
    )
    others = (
        Group("dominated", tuple(r for r in fits if r.number not in numbers), REST),
        Group("breaks a limit", breaks, BROKEN, cross=True),
        Group("stopped early", tuple(r for r in study.trials if r.state == "stopped"), STOPPED, cross=True),
    )
    return Scene(study, best, others)


def brief(text: str) -> str:
    """Return a written number without its empty decimals: `20.0 us` becomes `20 us`."""
    return re.sub(r"\.0+(?= )", "", text)


def round_numbers(low: float, high: float, unit: float, most: int = 6) -> list[float]:
    """Return about `most` round numbers at most (1, 2 or 5 times a power of ten units) that span a range."""
    first, last = math.floor(math.log10(low / unit)), math.ceil(math.log10(high / unit))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        numbers = [d * 10.0**p * unit for p in range(first, last + 1) for d in digits]
        inside = [n for n in numbers if low / 1.001 <= n <= high * 1.001]
        if len(inside) <= most:
            break
    return inside if len(inside) > 1 else [low, high] if high > low else [low]


def span(values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of a log axis that shows these values with a margin."""
    seen = list(values) or [1.0]
    return min(seen) / 1.3, max(seen) * 1.3
