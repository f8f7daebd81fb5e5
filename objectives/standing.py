"""What a trial still has to show to join the front, and how likely it is to do so.

Bytes, latency and arena of a network do not depend on its weights. With them known from the blank, "can this
trial join the front?" is one number: the least value of the study's metric that no point of the front beats.
Held against it is what the network will show in the end, extrapolated from its learning curve by what the
study's own finished curves did from there on, and corrected by what the study has seen its forms lose.
Nothing here is assumed of learning curves in general but that errors shrink by ratios.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated

from pydantic import Field

from hardware_profiles.value import Value
from objectives.goals import Direction, Goal

PERFECT: dict[Direction, float] = {"maximize": 1.0, "minimize": 0.0}
"""The best value of a metric: one to maximise is a share (`search/hypervolume.py` says the same)."""
FEWEST_SEEN = 3
"""As many observations are needed of a quantity before they are trusted."""
UNSEEN_GAP = 0.2
"""How far the logarithm of a form's error is guessed to lie from that of its network's, either way.

So it is until the study has seen enough of them.
"""
QUANTILES = tuple((2 * i + 1) / 16 for i in range(8))


class Spread(Value):
    """What was seen of one quantity: mean, standard deviation and number of observations."""

    mean: float
    deviation: Annotated[float, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]

    def below(self, value: float) -> float:
        """Return the chance that the next observation is at most `value` (Student's t, predictive)."""
        scale = self.deviation * math.sqrt(1 + 1 / self.count)
        if scale == 0:
            return float(value >= self.mean)
        return _t_below((value - self.mean) / scale, max(1, self.count - 1))

    def wider(self, by: float) -> Spread:
        """Return the spread of a sum with something independent of mean 0 that deviates by so much."""
        return self.model_copy(update={"deviation": math.hypot(self.deviation, by)})

    def low(self, deviations: float) -> float:
        """Return the ratio that lies so many standard deviations below the mean, of a logarithm of ratios."""
        return math.exp(self.mean - deviations * self.deviation * math.sqrt(1 + 1 / self.count))

    def quantiles(self) -> tuple[float, ...]:
        """Return values between which the next observation falls equally often."""
        scale = self.deviation * math.sqrt(1 + 1 / self.count)
        return tuple(self.mean + scale * t for t in _t_quantiles(max(1, self.count - 1)))


class Standing(Value):
    """How the study stands, as far as a trial in the making has to know.

    `front` holds the figures of the points on it, by metric. `gaps` says by how much the logarithm of the
    error grew in each step from the trained network to a form, by the step's name (see `steps_of`): what half
    of the filters cost differs from network to network in points, and much less in ratios. `rises` is the
    logarithm of the ratio between the final error and that of the averaged weights, by the twentieths of the
    training that were over; `ratios` that between the figures of two forms of one network, as
    `latency_ms: int8 > float32` (see `shape_of`). A trial is stopped when its chance is below `chance`;
    `half_sample` is half of what one validation sample weighs.
    """

    front: tuple[dict[str, float], ...] = ()
    gaps: dict[str, Spread] = Field(default_factory=dict)
    rises: dict[int, Spread] = Field(default_factory=dict)
    ratios: dict[str, Spread] = Field(default_factory=dict)
    chance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    half_sample: Annotated[float, Field(gt=0)] = 5e-4

    def gap(self, steps: Sequence[str]) -> Spread:
        """Return what is to be expected of some steps together: means and variances add up."""
        seen = [self._step(step) for step in steps]
        return Spread(
            mean=sum(gap.mean for gap in seen),
            deviation=math.sqrt(sum(gap.deviation**2 for gap in seen)),
            count=min((gap.count for gap in seen), default=FEWEST_SEEN),
        )

    def _step(self, step: str) -> Spread:
        seen = self.gaps.get(step)
        if seen is None or seen.count < FEWEST_SEEN:
            return Spread(mean=0.0, deviation=UNSEEN_GAP, count=FEWEST_SEEN)
        return seen


def needed(known: Mapping[str, float], standing: Standing, goals: Sequence[Goal]) -> float:
    """Return the least gain in the metric by which a form with `known` figures is beaten by nothing.

    The result is oriented so that more is better (a metric to minimise is negated). It is -inf where any
    value would do, for instance because an objective is not known yet, and inf where none would. Of figures
    that are intervals the better end is to be given.
    """
    target = next((goal for goal in goals if goal.metric == "accuracy"), None)
    limit = -math.inf
    if target is not None and target.limit is not None:
        limit = _oriented(target.limit, target.direction)
    others = [goal for goal in goals if goal.objective and goal.metric != "accuracy"]
    if any(goal.metric not in known for goal in others):
        return limit
    beating = [point for point in standing.front if _no_worse(point, known, others)]
    if not beating:
        return limit
    if target is None or not target.objective:
        return math.inf
    return max(limit, *(_oriented(point["accuracy"], target.direction) for point in beating))


def chance(
    error: float,
    least: float,
    direction: Direction,
    gap: Spread,
    rise: Spread | None = None,
    half_sample: float = 0.0,
) -> float:
    """Return how likely a network with this error now is to give a form of at least `least`.

    `error` is the distance to the perfect value, `least` is oriented as `needed` gives it. The logarithm of
    the error grows by `rise` until the end (None: it is the final one) and by `gap` in the form. What was the
    same so far may yet differ by a fraction of a sample, half of which weighs `half_sample`.
    """
    if math.isinf(least):
        return float(least < 0)
    left = _oriented(PERFECT[direction], direction) - least
    if left <= 0 or error <= 0:
        return float(error <= left)
    allowed, gap = math.log(left / error), gap.wider(half_sample / 4 / error)
    if rise is None:
        return gap.below(allowed)
    return sum(rise.below(allowed - change) for change in gap.quantiles()) / len(QUANTILES)


def expected(error: float, direction: Direction, gap: Spread, rise: Spread | None = None) -> float:
    """Return what a network with this error now is expected to show in a form.

    `error`, `gap` and `rise` are those of `chance`; the median is meant.
    """
    left = error * math.exp(gap.mean + (rise.mean if rise else 0.0))
    return max(0.0, PERFECT[direction] - left) if direction == "maximize" else PERFECT[direction] + left


def error_of(value: float, direction: Direction) -> float:
    """Return how far a metric's value is from perfect, at least 0."""
    return abs(PERFECT[direction] - value)


def twentieth(epoch: int, epochs: int) -> int:
    """Return how many twentieths of a training are over after an epoch."""
    return 20 * epoch // epochs


def _oriented(value: float, direction: Direction) -> float:
    return value if direction == "maximize" else -value


def _no_worse(point: Mapping[str, float], known: Mapping[str, float], goals: Sequence[Goal]) -> bool:
    return all(
        _oriented(point[goal.metric], goal.direction) >= _oriented(known[goal.metric], goal.direction)
        for goal in goals
    )


def _t_below(value: float, freedom: int) -> float:
    from scipy.special import stdtr  # type: ignore[import-untyped, unused-ignore]

    return float(stdtr(freedom, value))


@cache
def _t_quantiles(freedom: int) -> tuple[float, ...]:
    from scipy.special import stdtrit

    return tuple(float(stdtrit(freedom, share)) for share in QUANTILES)
