"""What binds a study: hard limits on its figures, and what a microcontroller's firmware has room for."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from objectives.goals import Direction
from search.errors import StudyError
from search.units import parse_bytes, parse_ms
from spaces.value import Value

Metric = Literal["accuracy", "latency_ms", "model_bytes", "compressed_bytes", "arena_bytes", "energy_mj"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""All of ours that can be an objective, a limit or both, in a fixed order."""


class Limits(Value):
    """Hard limits: what breaks one cannot be on the front.

    `accuracy_drop` is in points against the network that was brought: hundredths of a metric to maximise,
    hundredths of the network's own value of one to minimise. `accuracy_against_model` is what that comes to,
    and is set when the network was measured. `left_model_bytes` and `left_arena_bytes` are what a
    microcontroller's firmware leaves, and are set when that is known.
    """

    accuracy: float | None = None
    latency_ms: Annotated[float, Field(gt=0), BeforeValidator(parse_ms)] | None = None
    model_bytes: Annotated[int, Field(gt=0), BeforeValidator(parse_bytes)] | None = None
    compressed_bytes: Annotated[int, Field(gt=0), BeforeValidator(parse_bytes)] | None = None
    arena_bytes: Annotated[int, Field(gt=0), BeforeValidator(parse_bytes)] | None = None
    energy_mj: Annotated[float, Field(gt=0)] | None = None
    left_model_bytes: Annotated[int, Field(gt=0)] | None = None
    left_arena_bytes: Annotated[int, Field(gt=0)] | None = None
    accuracy_drop: Annotated[float, Field(ge=0)] | None = None
    accuracy_against_model: float | None = None

    def bounds(self, direction: Direction) -> dict[Metric, float | None]:
        """Return the bound on each metric, of two on the same one the stricter."""
        given = [v for v in (self.accuracy, self.accuracy_against_model) if v is not None]
        strictest = max(given) if direction == "maximize" and given else min(given, default=None)
        return {
            "accuracy": strictest,
            "latency_ms": self.latency_ms,
            "model_bytes": _least(self.model_bytes, self.left_model_bytes),
            "compressed_bytes": self.compressed_bytes,
            "arena_bytes": _least(self.arena_bytes, self.left_arena_bytes),
            "energy_mj": self.energy_mj,
        }


def refuse_not_positive(metric: str, limit: float) -> None:
    """Raise StudyError for a limit on what is minimised that is not above 0: no ratio to it can be told."""
    if limit <= 0:
        raise StudyError(
            f"a limit on '{metric}', which is minimised, is above 0, got {limit:g}; add a constant to the "
            "metric, or leave the limit out"
        )


def _least(*bounds: float | None) -> float | None:
    return min((bound for bound in bounds if bound is not None), default=None)


class Firmware(Value):
    """A microcontroller's flash and RAM, if they are not the profile's, and the user's own part of them."""

    flash: Annotated[int, Field(gt=0), BeforeValidator(parse_bytes)] | None = None
    ram: Annotated[int, Field(gt=0), BeforeValidator(parse_bytes)] | None = None
    reserve_flash: Annotated[int, Field(ge=0), BeforeValidator(parse_bytes)] = 0
    reserve_ram: Annotated[int, Field(ge=0), BeforeValidator(parse_bytes)] = 0
