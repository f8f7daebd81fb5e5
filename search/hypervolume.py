"""The one way in which a hypervolume is computed here, for progress, reports and benchmarks alike.

Each objective is laid on a scale from 0 (best) to 1 (reference), and the hypervolume is the share of
the unit cube that the points dominate, in [0, 1]; only objectives count, limits alone do not.

accuracy       error, linear, from 0 to that of guessing the majority class. A metric to maximise is a
               fraction, so its error is 1 - value; of a metric to minimise 0 is best.
latency_ms     log scale from 1 us to the user's limit, else 2 ms.
model_bytes    log scale from 500 bytes to the user's limit, else 400 kB (400,000 bytes);
               compressed_bytes and arena_bytes likewise.
energy_mj      log scale from 1 uJ to the user's limit, else 10 mJ.
own            what a user's own objective measures has no ends to scale by, so it is left out; of nothing
               but such objectives the hypervolume is 0.

What is better than best counts as best; what is not better than the reference in every objective
dominates nothing. A limit at or below the best end of a log scale moves that end to a thousandth of it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import model_validator

from objectives.goals import Goal
from search.errors import StudyError
from spaces.value import Value

LOG_ENDS = {
    "latency_ms": (1e-3, 2.0),
    "model_bytes": (500.0, 400_000.0),
    "compressed_bytes": (500.0, 400_000.0),
    "arena_bytes": (500.0, 400_000.0),
    "energy_mj": (1e-3, 10.0),
}
"""Best and reference of the log scales, in the metric's own unit, where no limit is given."""


class Scale(Value):
    """Lays one metric on [0, 1]: `best` (or better) is 0, `reference` (or worse) is 1."""

    metric: str
    best: float
    reference: float
    log: bool = False

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.best == self.reference:
            raise ValueError(f"a scale has two different ends, got {self.best:g} twice for '{self.metric}'")
        if self.log and not 0 < self.best < self.reference:
            raise ValueError(f"a log scale rises from above 0, got {self.best:g} to {self.reference:g}")
        return self

    def place(self, value: float) -> float:
        """Return where a value lies: below 0 beyond the best, above 1 beyond the reference.

        Raises StudyError for a value that is not positive on a log scale.
        """
        if not self.log:
            return (value - self.best) / (self.reference - self.best)
        if value <= 0:
            raise StudyError(f"{self.metric} is above 0, got {value:g}")
        return math.log(value / self.best) / math.log(self.reference / self.best)


class Scales(Value):
    """The scales of a study's objectives, in the order of its goals; none where all are the user's own."""

    scales: tuple[Scale, ...]

    def places(self, values: Mapping[str, float]) -> tuple[float, ...]:
        """Return the place on each scale, not clipped. Raises StudyError where a metric is missing."""
        missing = [s.metric for s in self.scales if s.metric not in values]
        if missing:
            raise StudyError(f"a point has a value for every objective, but {', '.join(missing)} is missing")
        return tuple(scale.place(values[scale.metric]) for scale in self.scales)


def scale_of(goal: Goal, majority_accuracy: float) -> Scale:
    """Return the scale of one objective.

    `majority_accuracy` is the study's metric for guessing the majority class always. Raises
    StudyError where it is as good as perfect, for then there is no error to scale by.
    """
    if goal.metric in LOG_ENDS:
        best, reference = LOG_ENDS[goal.metric]
        reference = goal.limit or reference
        return Scale(
            metric=goal.metric,
            best=best if best < reference else reference / 1000,
            reference=reference,
            log=True,
        )
    best = 1.0 if goal.direction == "maximize" else 0.0
    worse = majority_accuracy < best if goal.direction == "maximize" else majority_accuracy > best
    if not worse:
        raise StudyError(
            f"the metric of guessing the majority class must be worse than the best, {best:g}, got "
            f"{majority_accuracy:g}; choose another --metric"
        )
    return Scale(metric=goal.metric, best=best, reference=majority_accuracy)


def scales_of(goals: Iterable[Goal], majority_accuracy: float) -> Scales:
    """Return the scales of those goals that are objectives."""
    return Scales(
        scales=tuple(scale_of(goal, majority_accuracy) for goal in goals if goal.objective and _scaled(goal))
    )


def _scaled(goal: Goal) -> bool:
    return goal.metric in LOG_ENDS or goal.metric == "accuracy"


def hypervolume(
    points: Iterable[Mapping[str, float]], goals: Iterable[Goal], majority_accuracy: float
) -> float:
    """Return the share of the unit cube that the points dominate, in [0, 1]; 0 without points.

    `points` are values by metric name in the metrics' own units, as in `TrialRecord.values`; each
    holds every objective, and what else it holds is not looked at. Whether a point keeps the limits
    is for the caller to see to (`front` does). Raises StudyError as `scale_of` and `Scales` say.
    """
    import moocore
    import numpy as np

    scales = scales_of(goals, majority_accuracy)
    if not scales.scales:
        return 0.0
    places = np.array([scales.places(point) for point in points]).reshape(-1, len(scales.scales)).clip(0, 1)
    inside = places[(places < 1).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=np.ones(len(scales.scales)))) if len(inside) else 0.0
