"""What is expected of candidates that were not trained yet: their losses, and by how much a front would grow.

A loss is what is to be small: a metric with its sign, or its logarithm where that is how hypervolume is told
(see `search/hypervolume.py`). An error is modelled by its logarithm, since it shrinks by ratios.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from objectives.goals import limited_metric
from search.hypervolume import LOG_ENDS
from search.surrogate import Apart, Encoding, Lengths, Process
from spaces.chooser import Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from objectives.goals import Goal

    Array = NDArray[np.float64]

REFERENCE = 1.1
"""Up to where hypervolume is told, 0 being the best that was seen in each objective and 1 the front's end."""
DRAWS = 8
LEAST_ERROR = 1e-3
FEWEST = 5
"""As many candidates are to have shown something before it is said of others."""
HOPEFUL, MIDDLE = 0, 1
"""What the first two samples of a candidate are: a deviation better than expected, and what is expected."""


@dataclass(frozen=True)
class Known:
    """A candidate: how it is chosen, what describes it beforehand, and what is known of its metrics.

    `point` is where an `Encoding` puts its parameters. `expected` are metrics that were not seen to the end,
    `seconds` what it took to find out.
    """

    params: Mapping[str, Scalar]
    point: Array
    figures: Mapping[str, float]
    values: Mapping[str, float]
    expected: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def lesson(self) -> Mapping[str, float]:
        """What there is to learn from, by metric."""
        return {**self.expected, **self.values}


def modelled(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """Return what is modelled, as goals on one metric each: the objectives, then what is limited alone."""
    objectives = tuple(goal for goal in goals if goal.objective)
    named = {goal.metric for goal in objectives}
    others = {limited_metric(goal): goal for goal in goals if goal.limit is not None}
    return (
        *objectives,
        *(
            goal.model_copy(update={"metric": name, "objective": False, "limit_on": "min"})
            for name, goal in others.items()
            if name not in named
        ),
    )


def loss(goal: Goal, value: float) -> float:
    """Return a metric's value as a loss; of what is only limited, its logarithm is what a limit goes by."""
    if goal.metric in LOG_ENDS or (goal.direction == "minimize" and not goal.objective):
        return math.log(max(value, 1e-12))
    return -value if goal.direction == "maximize" else value


def losses(goals: Sequence[Goal], known: Sequence[Known]) -> Array:
    """Return the losses of candidates whose metrics are all known, of (candidates, goals)."""
    return np.array([[loss(goal, found.values[goal.metric]) for goal in goals] for found in known])


def limits_of(goals: Sequence[Goal]) -> Array:
    """Return the losses that goals allow at most, of (goals,); infinite without a limit."""
    return np.array([math.inf if goal.limit is None else loss(goal, goal.limit) for goal in goals])


def nondominated(found: Array) -> list[int]:
    """Return the places of the points that no other dominates."""
    import moocore

    return [int(place) for place in np.flatnonzero(moocore.is_nondominated(found, keep_weakly=False))]


class Growing:
    """A front of candidates whose metrics are all known, which others join one by one."""

    def __init__(self, goals: Sequence[Goal]) -> None:
        self._goals = tuple(goals)
        self.points: list[Known] = []
        self.losses: Array = np.empty((0, len(self._goals)))

    def join(self, known: Known) -> None:
        """Let a candidate join where nothing on the front is as good, and leave what it beats."""
        new = losses(self._goals, [known])
        if (self.losses <= new).all(axis=1).any():
            return
        left = ~np.all(new <= self.losses, axis=1)
        self.points = [*(point for point, stays in zip(self.points, left, strict=True) if stays), known]
        self.losses = np.concatenate([self.losses[left], new])


class Box:
    """The part of the objectives' space in which the front of some points may grow."""

    def __init__(self, points: Array, awaited: Array, limits: Array | float = math.inf) -> None:
        """Take losses of (points, objectives), and those that are expected of what is under way.

        `limits` are the losses beyond which a point is not allowed, and nothing grows. What comes to the box
        may have columns beyond the objectives, which `limits` is for.
        """
        self._limits, self._objectives = limits, points.shape[1]
        awaited = awaited[np.all(awaited <= limits, axis=1), : self._objectives]
        front = points[nondominated(points)]
        self._best = points.min(axis=0)
        self._length = np.maximum(front.max(axis=0) - self._best, 1e-12)
        placed = self._placed(np.concatenate([front, awaited]) if len(awaited) else front)
        self._front = placed[(placed < REFERENCE).all(axis=1)]

    def growths(self, points: Array) -> Array:
        """Return by how much the hypervolume grows with each of (points, columns) alone."""
        places, grown = self._placed(points), np.zeros(len(points))
        beaten = np.any(np.all(self._front[None] <= places[:, None], axis=2), axis=1)
        outside = np.any(points > self._limits, axis=1) | np.any(places >= REFERENCE, axis=1)
        for i in np.flatnonzero(~(beaten | outside)):
            taken = np.maximum(self._front, places[i])
            grown[i] = float(np.prod(REFERENCE - places[i])) - _volume(taken)
        return grown

    def expected(self, samples: Array) -> Array:
        """Return the mean growth over samples, of (points, samples, columns)."""
        grown = self.growths(samples.reshape(-1, samples.shape[-1]))
        mean: Array = grown.reshape(samples.shape[:-1]).mean(axis=1)
        return mean

    def excesses(self, points: Array) -> Array:
        """Return how far beyond the limits each of (points, columns) lies, 0 within them."""
        beyond: Array = np.maximum(0.0, points - self._limits).sum(axis=1)
        return beyond

    def _placed(self, points: Array) -> Array:
        placed: Array = (points[:, : self._objectives] - self._best) / self._length
        return placed


def _volume(places: Array) -> float:
    """Return the hypervolume of places all of which lie within the reference."""
    import moocore

    return float(moocore.hypervolume(places, ref=REFERENCE)) if len(places) else 0.0


class Foresight:
    """What a model of the trials so far says of candidates that were not tried.

    `learnt` are those trials; each metric is learnt from those that showed it. The lengths of the models are
    kept in `lengths`, by what is modelled, for the next time: choosing them takes longest.
    """

    def __init__(
        self,
        goals: Sequence[Goal],
        encoding: Encoding,
        learnt: Sequence[Known],
        asked: Sequence[Known],
        lengths: dict[str, Lengths],
    ) -> None:
        self._goals, self._learnt, self._asked, self._lengths = tuple(goals), learnt, asked, lengths
        self._lessons = [known.lesson for known in learnt]
        points = [known.point for known in learnt]
        self._among = Apart(encoding.distances(points, points), figures_apart(learnt, learnt))
        others = [known.point for known in asked]
        self._between = Apart(encoding.distances(others, points), figures_apart(asked, learnt))

    def samples(self) -> Array:
        """Return losses of (asked, samples, goals): HOPEFUL, MIDDLE, and equally likely draws."""
        return np.stack([self._column(goal, place) for place, goal in enumerate(self._goals)], axis=2)

    def seconds(self) -> Array:
        """Return how long each of (asked,) may take; of less than FEWEST nothing is concluded."""
        timed = [i for i, known in enumerate(self._learnt) if known.seconds]
        if len(timed) < FEWEST:
            return np.ones(len(self._asked))
        took = np.log([self._learnt[i].seconds or 1.0 for i in timed])
        process = self._process("seconds", self._among.part(timed, timed), took)
        mean, _ = process.predict(self._between.part(slice(None), timed))
        return np.exp(np.clip(mean, took.min(), took.max()))

    def _column(self, goal: Goal, place: int) -> Array:
        column = np.empty((len(self._asked), 2 + DRAWS))
        unknown = [i for i, known in enumerate(self._asked) if goal.metric not in known.values]
        for i, known in enumerate(self._asked):
            if goal.metric in known.values:
                column[i] = loss(goal, known.values[goal.metric])
        if unknown:
            column[unknown] = self._guessed(goal, unknown, np.array([-1.0, 0.0, *_quantiles(place)]))
        return column

    def _guessed(self, goal: Goal, unknown: Sequence[int], steps: Array) -> Array | float:
        """Return losses of some candidates, so many deviations from what is expected of each.

        What is limited alone, and was hardly ever seen, is taken to be kept.
        """
        knowing = [i for i, lesson in enumerate(self._lessons) if goal.metric in lesson]
        if len(knowing) < FEWEST and not goal.objective:
            return -math.inf
        observed = np.array([_inside(goal, self._lessons[i][goal.metric]) for i in knowing])
        first = slice(len(knowing))  # which copies nothing; who knows less comes last
        some = first if knowing[-1] < len(knowing) else knowing
        process = self._process(goal.metric, self._among.part(some, some), observed)
        mean, spread = process.predict(self._between.part(unknown, some))
        return _outside(goal, mean[:, None] + spread[:, None] * steps)

    def _process(self, name: str, apart: Apart, observed: Array) -> Process:
        process = Process(apart, observed, self._lengths.get(name))
        self._lengths[name] = process.lengths
        return process


def figures_apart(asked: Sequence[Known], learnt: Sequence[Known]) -> Array:
    """Return the mean distance of logarithms of figures, in standard deviations of those that were learnt."""
    everyone = (*learnt, *asked)
    names = [name for name in sorted(learnt[0].figures) if all(name in known.figures for known in everyone)]
    total = np.zeros((len(asked), len(learnt)))
    for name in names:
        a, b = (np.log(np.maximum(1e-12, [k.figures[name] for k in some])) for some in (asked, learnt))
        total += np.abs(a[:, None] - b[None]) / (float(b.std()) or 1.0)
    return total / max(1, len(names))


def _quantiles(place: int) -> list[float]:
    """Return the middles of equally likely parts, in another order for each column of up to eight."""
    spread = [NormalDist().inv_cdf((2 * i + 1) / (2 * DRAWS)) for i in range(DRAWS)]
    return [spread[(i * (2 * place + 1) + 2 * (place // 4)) % DRAWS] for i in range(DRAWS)]


def _inside(goal: Goal, value: float) -> float:
    """Return what is modelled of a value: the less, the better."""
    if goal.metric == "accuracy" and goal.direction == "maximize":
        return math.log(max(1 - value, LEAST_ERROR))
    return loss(goal, value)


def _outside(goal: Goal, modelled: Array) -> Array:
    """Return the losses of what was modelled."""
    if goal.metric == "accuracy" and goal.direction == "maximize":
        return np.exp(modelled) - 1
    return modelled
