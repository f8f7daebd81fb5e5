"""How a trial ended, as a value that travels between processes and into the record."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from hardware_profiles.measurement import Latency, Measurement
from hardware_profiles.value import Value
from objectives.goals import Violation
from spaces.candidate import Compression

Fault = Literal["candidate", "infrastructure", "device"]


class Epoch(Value):
    """One point of a learning curve, of the float network. `valid` is the study's metric.

    `averaged` is the metric of the weights' moving average, where it was looked at: before the rate of
    learning has come down, it tells more of what the training will end with.
    """

    epoch: Annotated[int, Field(ge=1)]
    loss: float
    valid: float
    averaged: float | None = None


class Harvested(Value):
    """Another form of a trial's network: its compression, what was found of it, or why there is nothing.

    `values` are the metric of the float network after each of its stages, the trained one first.
    """

    compression: Compression
    measurements: tuple[Measurement, ...] = ()
    latency: Latency | None = None
    artifact: str | None = None
    values: tuple[float, ...] = ()
    parameters: int | None = None
    seconds: float = 0.0
    error: str | None = None


class Doubt(Value):
    """When and why a trial would have been stopped that was finished in order to check the rule.

    `expected` is what its network, in the asked form, was expected to show of the study's metric.
    """

    epoch: int
    reason: str
    expected: float | None = None


class Evidence(Value):
    """What was learnt on the way, however the trial ended.

    `measurements` by metric name: `accuracy` (the metric, of the `.tflite` on validation data),
    `latency_ms`, `latency_median_ms`, `latency_p90_ms`, `arena_bytes`, `energy_mj`, `model_bytes`,
    `compressed_bytes`, those of objectives of the user's own,
    `sparsity_reached` (over prunable kernels), `sparsity_overall` (over all), `float_accuracy` (before the
    conversion). `inputs_used` are the columns or channels that feature elimination left, None for all.
    `seconds` says where the time went, by stage. `stages` are the metric of the float network after each
    stage, the trained one first, and `harvest` the other forms that were made of it. `doubt` says that the
    trial would have been stopped.
    """

    measurements: tuple[Measurement, ...] = ()
    latency: Latency | None = None
    artifact: str | None = None
    inputs_used: tuple[int, ...] | None = None
    curve: tuple[Epoch, ...] = ()
    parameters: int | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    stages: tuple[float, ...] = ()
    harvest: tuple[Harvested, ...] = ()
    doubt: Doubt | None = None

    @property
    def values(self) -> dict[str, float]:
        """The measured numbers by metric name."""
        return {m.metric: m.value for m in self.measurements}


class Measured(Value):
    """The artifact exists, fits, and every goal has a number."""

    state: Literal["measured"] = "measured"
    evidence: Evidence


class Infeasible(Value):
    """A limit is broken; `violations` tells which and by how much."""

    state: Literal["infeasible"] = "infeasible"
    violations: tuple[Violation, ...]
    evidence: Evidence = Evidence()


class Stopped(Value):
    """Training ended early because the trial could not reach the front any more.

    `expected` is what it was expected to show of the study's metric in the end.
    """

    state: Literal["stopped"] = "stopped"
    epoch: int
    reason: str
    expected: float | None = None
    evidence: Evidence = Evidence()


class Failed(Value):
    """Nothing to ship.

    `fault` is the candidate's own (never proposed again), the infrastructure's, or that of a device which
    does not answer.
    """

    state: Literal["failed"] = "failed"
    error: str
    fault: Fault = "candidate"
    evidence: Evidence = Evidence()


Outcome = Annotated[Measured | Infeasible | Stopped | Failed, Field(discriminator="state")]
OUTCOME: TypeAdapter[Measured | Infeasible | Stopped | Failed] = TypeAdapter(Outcome)
