"""Goals: what is optimised, what is limited, and how far from a limit something is."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hardware_profiles.measurement import Statistic
from hardware_profiles.value import Value

Direction = Literal["maximize", "minimize"]


class Goal(Value):
    """A metric to optimise (`objective`), to keep within a limit, or both.

    A limit bounds from above what is minimised and from below what is maximised. `limit_on` says
    which figure of a latency the limit is put on.
    """

    metric: str
    direction: Direction
    objective: bool = True
    limit: float | None = None
    limit_on: Statistic = "min"

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.objective and self.limit is None:
            raise ValueError(f"a goal is an objective, a limit or both, and '{self.metric}' is neither")
        return self

    @model_validator(mode="after")
    def _ratio_to_the_limit(self) -> Self:
        if self.direction == "minimize" and self.limit is not None and self.limit <= 0:
            raise ValueError(f"a limit on what is minimised is above 0, got {self.limit} for '{self.metric}'")
        return self

    def violation(self, value: float) -> float:
        """Return how far `value` breaks the limit, without unit: at most 0 where it is kept.

        The logarithm of the ratio for what is minimised (positive quantities: ms, bytes), the plain
        difference for what is maximised (fractions), so that violations of several goals add up.
        """
        if self.limit is None:
            return 0.0
        if self.direction == "maximize":
            return self.limit - value
        return math.log(max(value, 1e-12) / self.limit)


class Violation(Value):
    """A limit that was broken: by which value, and by how much (see `Goal.violation`)."""

    metric: str
    limit: float
    value: float
    excess: Annotated[float, Field(gt=0)]


def violations(goals: Sequence[Goal], values: Mapping[str, float]) -> tuple[Violation, ...]:
    """List the limits that known values break. What is not known breaks nothing.

    The value of a goal with `limit_on` other than min is looked up as `latency_median_ms` or
    `latency_p90_ms`.
    """
    broken = []
    for goal in goals:
        metric = limited_metric(goal)
        value = values.get(metric)
        if goal.limit is not None and value is not None and (excess := goal.violation(value)) > 0:
            broken.append(Violation(metric=metric, limit=goal.limit, value=value, excess=excess))
    return tuple(broken)


def limited_metric(goal: Goal) -> str:
    """Return the name of the figure that the goal's limit is put on."""
    if goal.metric != "latency_ms" or goal.limit_on == "min":
        return goal.metric
    return f"latency_{goal.limit_on}_ms"
