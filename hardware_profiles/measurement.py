"""Numbers that say where they come from."""

import re
from typing import Annotated, Literal

from pydantic import Field

from hardware_profiles.value import Value

Provenance = Literal["measured", "emulated", "estimated"]
Verdict = Literal["stable", "noisy", "drifting", "throttled"]
Statistic = Literal["min", "median", "p90"]
Positive = Annotated[float, Field(gt=0)]


_PART = re.compile(r" \(\d+ of \d+ nodes\)$| \(some of its nodes\)$")
"""What a runtime's name ends with where an accelerator ran only part of a model."""


class Source(Value):
    """How a number came about: on which device, machine and runtime, with how many threads.

    `delegate` is the shared library that the runtime handed to what it could of the model.
    """

    provenance: Provenance
    device: str
    machine: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    delegate: str | None = None


def undivided(source: Source) -> Source:
    """Return the source without how much of that one model an accelerator ran, which is no circumstance."""
    return source.model_copy(update={"runtime": source.runtime and _PART.sub("", source.runtime)})


class Measurement(Value):
    """One number. The unit is in the metric's name; `low` and `high` bound it where that is known."""

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    source: Source


class Conditions(Value):
    """What a machine told of itself in the course of a run; None where it does not tell.

    Governor and clock are those at the end of the run. `throttling` names what held the clock down.
    """

    processor: str | None = None
    governor: str | None = None
    clock_mhz: Positive | None = None
    throttling: tuple[str, ...] = ()


class Latency(Value):
    """What repeated runs of one model showed.

    `latency_ms` is the ranked figure: min(model) / min(anchor), taken side by side in rounds (see
    statistics.py), times the anchor's constant for this device, runtime and threads; `low_ms` and
    `high_ms` bound it. The rest is what was seen, in ms, on a machine that may have been busy: a
    user feels the median and the p90.
    """

    latency_ms: Positive
    low_ms: Positive
    high_ms: Positive
    min_ms: Positive
    median_ms: Positive
    p90_ms: Positive
    p99_ms: Positive
    anchor_ratio: Positive
    runs: Annotated[int, Field(ge=1)]
    verdict: Verdict
    source: Source
    conditions: Conditions | None = None

    def statistic(self, name: Statistic) -> float:
        """Return the figure, in ms, that a limit is put on: the ranked one for `min`."""
        return {"min": self.latency_ms, "median": self.median_ms, "p90": self.p90_ms}[name]

    @property
    def measurement(self) -> Measurement:
        """The ranked figure as a measurement."""
        return Measurement(
            metric="latency_ms", value=self.latency_ms, low=self.low_ms, high=self.high_ms, source=self.source
        )
