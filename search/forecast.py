"""What can be said of a study before it starts: which candidates fit its limits, and how long it takes.

Candidates are drawn evenly from the space. A bound on the bytes is known of all of them; some are built and
measured untrained, a share of those that the bound lets pass and of those that it does not. What these show
stands for all, each part weighted by how many it stands for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from objectives.goals import Goal, limited_metric
from objectives.probe import Probe
from search.intervals import CONFIDENCE, Interval, mean_by_size, share, share_in_strata
from spaces.value import Value

if TYPE_CHECKING:
    from search.plan import StudyPlan

RESAMPLES = 300
WORTH_KNOWING = frozenset({"model_bytes", "latency_ms", "arena_bytes", "energy_mj"})
"""What an untrained network tells; other limits are on what only a trained one does."""


@dataclass(frozen=True)
class Weighed:
    """A candidate that was built and measured untrained.

    `passes` says that the bound on its bytes does not rule it out, `figures` what it shows by metric, None
    where it cannot be made or run on the device.
    """

    passes: bool
    figures: Mapping[str, float] | None


class LimitForecast(Value):
    """One limit: the share of the candidates that break it, and its value that half of them would keep.

    That value is None where more than half cannot be made at all.
    """

    metric: str
    limit: float
    broken: Interval
    half: float | None


class Relaxed(Value):
    """The value that a limit would need for half of the space to fit, all others being as they are.

    Whatever the samples leave open upwards has no `high`.
    """

    metric: str
    low: float
    value: float
    high: float | None


class Fit(Value):
    """Which share of a space fits a study's limits.

    `weighed` of `candidates` distinct ones were built and measured, `unmade` of these could not be. The
    `binding` limit is the one that breaks most often; it is `relaxed` alone, which is None where half fits
    already, or where the other limits keep out more than half. `untold` are limits on what only a trained
    network tells.
    """

    candidates: int
    weighed: int
    unmade: int
    fits: Interval
    limits: tuple[LimitForecast, ...]
    binding: str | None
    relaxed: Relaxed | None
    untold: tuple[str, ...]


class Duration(Value):
    """How long a study takes, in seconds of the machine that the forecast was made on.

    A trial takes `start_s` and `epoch_s` for each of the plan's `epochs`, that is `trial_s`: mean, least and
    most of `probes` candidates that were trained for one epoch. `forms_s` is what it takes besides to offer a
    network in its other forms, as long as the front has nothing better. `screen_s` is what it takes to see
    that a candidate does not fit. The first `climbed` of its trials are proven designs.
    """

    probes: int
    epochs: int
    start_s: Interval
    epoch_s: Interval
    trial_s: Interval
    forms_s: Interval
    screen_s: float
    climbed: int
    trials: int
    workers: int
    study_s: Interval


class Forecast(Value):
    """All that is foretold of a study; `duration` is None where nothing fits that could be trained."""

    study: str
    space: str
    device: str
    fit: Fit
    duration: Duration | None


class Samples:
    """What was weighed, standing for all the candidates that were drawn."""

    def __init__(
        self, weighed: Sequence[Weighed], passing: int, candidates: int, goals: Iterable[Goal]
    ) -> None:
        """Take `passing` of `candidates` as those that the bound lets pass."""
        self.weighed, self._passing, self._candidates = tuple(weighed), passing, candidates
        self._weights = {True: passing / candidates, False: 1 - passing / candidates}
        limited = [goal for goal in goals if goal.limit is not None]
        self._goals = tuple(goal for goal in limited if self._told(goal))
        self.untold = tuple(limited_metric(goal) for goal in limited if goal not in self._goals)

    def _told(self, goal: Goal) -> bool:
        known = [w.figures for w in self.weighed if w.figures is not None]
        return goal.metric in WORTH_KNOWING and all(limited_metric(goal) in figures for figures in known)

    def fit(self) -> Fit:
        """Return what the samples say."""
        limits = tuple(self._limit(goal) for goal in self._goals)
        broken = max(limits, key=lambda limit: limit.broken.value, default=None)
        binding = None if broken is None or not broken.broken.value else broken
        return Fit(
            candidates=self._candidates,
            weighed=len(self.weighed),
            unmade=sum(w.figures is None for w in self.weighed),
            fits=self._fitting(),
            limits=limits,
            binding=None if binding is None else binding.metric,
            relaxed=None if binding is None else self._relaxed(binding.metric),
            untold=self.untold,
        )

    def _fitting(self) -> Interval:
        """Return the share that fits: of what the bound lets pass a part, of the rest nothing."""
        if not self._goals:
            return Interval.exactly(1.0)
        return self._of_passing(sum(self.keeps(w) for w in self._strata[True]))

    def _of_passing(self, hits: int) -> Interval:
        """Return the share of the whole that so many samples of those that pass the bound stand for."""
        passing = share(self._passing, self._candidates)
        return share(hits, len(self._strata[True])).of(passing) if self._strata[True] else passing

    def _limit(self, goal: Goal) -> LimitForecast:
        assert goal.limit is not None
        metric = limited_metric(goal)
        kept = {passes: sum(_keeps(w, goal) for w in part) for passes, part in self._strata.items()}
        if metric == "model_bytes":  # of which the bound has said of whom it is broken
            keeping = self._of_passing(kept[True])
        else:
            parts = ((self._weights[p], kept[p], len(self._strata[p])) for p in (True, False))
            keeping = share_in_strata(parts)
        half = _least_for_half([(self._weight(w), _figure(w, metric)) for w in self.weighed])
        return LimitForecast(metric=metric, limit=goal.limit, broken=keeping.complement, half=half)

    def keeps(self, weighed: Weighed, *, but: str | None = None) -> bool:
        """Tell whether a sample could be made and keeps every limit, `but` for that on one metric."""
        return weighed.figures is not None and all(
            _keeps(weighed, goal) for goal in self._goals if limited_metric(goal) != but
        )

    def _relaxed(self, metric: str) -> Relaxed | None:
        if self._fitting().value >= 0.5:
            return None
        value = self._relaxed_by(self.weighed, metric)
        if value is None:
            return None
        generator = random.Random(0)  # noqa: S311 - samples, no secrets
        again = sorted(
            math.inf if found is None else found
            for found in (self._relaxed_by(self._resampled(generator), metric) for _ in range(RESAMPLES))
        )
        tail = round(RESAMPLES * (1 - CONFIDENCE) / 2)
        low, high = min(again[tail], value), max(again[-1 - tail], value)
        return Relaxed(metric=metric, low=low, value=value, high=high if math.isfinite(high) else None)

    def _relaxed_by(self, weighed: Sequence[Weighed], metric: str) -> float | None:
        """Return the least value of the limit that lets half fit, as these samples have it."""
        figures = [
            (self._weight(w), _figure(w, metric) if self.keeps(w, but=metric) else math.inf) for w in weighed
        ]
        return _least_for_half(figures)

    def _resampled(self, generator: random.Random) -> list[Weighed]:
        return [w for part in self._strata.values() if part for w in generator.choices(part, k=len(part))]

    @cached_property
    def _strata(self) -> dict[bool, list[Weighed]]:
        return {passes: [w for w in self.weighed if w.passes is passes] for passes in (True, False)}

    def _weight(self, weighed: Weighed) -> float:
        """Return which share of the space a sample stands for."""
        return self._weights[weighed.passes] / len(self._strata[weighed.passes])


class Timed(NamedTuple):
    """A candidate whose trial was timed: its multiply-accumulates for one sample, and what it takes."""

    macs: float
    probe: Probe


class Course(NamedTuple):
    """What a study trains, in multiply-accumulates for one sample, by which its trials take their time.

    The first `climbed` trials are proven designs, of which those with `ladder` fit; then come some like
    `others`, which fit.
    """

    others: Sequence[float]
    climbed: int = 0
    ladder: Sequence[float] = ()


def duration_of(
    timed: Sequence[Timed], course: Course, fits: Interval, screen_s: float, plan: StudyPlan, workers: int
) -> Duration:
    """Return how long a study takes by some probes.

    What is not known before is how well the sampler learns to ask for what fits, and how many forms of its
    networks are worth making. So after the ladder the least is what the share that `fits` by chance takes,
    without any other form, and the most that of every candidate fitting. Between lies the middle: half of the
    rest fits, and all forms are made. Of what stopping saves nothing is known yet. (Foretold 26, 68 and
    217 s, taken some 30, 80 and 135: 12 and 30 trials on digits, 12 on 6,000 images of Fashion-MNIST.)
    """
    probes = [probe for _, probe in timed]
    work_s = _work_s(timed, course, fits, plan.trials)
    at_a_time = max(1.0, plan.trials / workers)
    ends = {end: at_a_time * (seconds / plan.trials + screen_s) for end, seconds in work_s.items()}
    if plan.timeout_s is not None:
        ends = {end: min(plan.timeout_s, most) for end, most in ends.items()}
    return Duration(
        probes=len(probes),
        epochs=plan.epochs,
        start_s=_spread([probe.start_s for probe in probes]),
        epoch_s=_spread([probe.epoch_s * probe.epochs / plan.epochs for probe in probes]),
        trial_s=_spread([probe.seconds for probe in probes]),
        forms_s=_spread([probe.forms_s for probe in probes]),
        screen_s=screen_s,
        climbed=course.climbed,
        trials=plan.trials,
        workers=workers,
        study_s=Interval(**ends),
    )


def _work_s(timed: Sequence[Timed], course: Course, fits: Interval, trials: int) -> dict[str, float]:
    """Return the seconds of one worker that all trainings and forms take, at the ends of an interval.

    The parts come of the same probes, and may all be longer or shorter: so their ends are added up.
    """
    rest = trials - course.climbed
    parts = (
        _trained_s(timed, course.ladder, len(course.ladder), least=1.0, middle=1.0),
        _trained_s(timed, course.others, rest, least=fits.low, middle=(1 + fits.value) / 2),
    )
    return {end: sum(getattr(part, end) for part in parts) for end in ("low", "value", "high")}


def _trained_s(
    timed: Sequence[Timed], sizes: Sequence[float], count: int, *, least: float, middle: float
) -> Interval:
    """Return what `count` candidates take: at `least` that share is trained, in one form, at most all are."""
    if not (count and sizes):
        return Interval.exactly(0.0)
    alone = mean_by_size([(macs, probe.seconds) for macs, probe in timed], sizes, count)
    whole = mean_by_size([(macs, probe.seconds + probe.forms_s) for macs, probe in timed], sizes, count)
    value = middle * whole.value
    return Interval(low=min(least * alone.low, value), value=value, high=whole.high).times(count)


def _spread(values: Sequence[float]) -> Interval:
    mean = min(max(fmean(values), min(values)), max(values))  # which rounding may put outside
    return Interval(low=min(values), value=mean, high=max(values))


def _figure(weighed: Weighed, metric: str) -> float:
    return math.inf if weighed.figures is None else weighed.figures[metric]


def _keeps(weighed: Weighed, goal: Goal) -> bool:
    """Tell whether a sample keeps a limit. What cannot be made breaks none: it is told of by itself."""
    return weighed.figures is None or goal.violation(weighed.figures[limited_metric(goal)]) <= 0


def _least_for_half(figures: Iterable[tuple[float, float]]) -> float | None:
    """Return the least value that samples of half the whole weight do not exceed."""
    ordered = sorted(figures, key=lambda found: found[1])
    total = sum(weight for weight, _ in ordered)
    reached = 0.0
    for weight, value in ordered:
        reached += weight
        if reached >= total / 2 - 1e-9:
            return value if math.isfinite(value) else None
    return None
