"""The seams to whatever knows something of a `.tflite` on a device.

One method each, so that a double is easy to trust; a way of reaching a device has those that it allows.

Runner      times models                            local, ssh, adb, command, replay
Computes    gives a model's outputs                 local, ssh, command, micro
Estimates   works out what nobody measured          cycles, vela, edgetpu
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hardware_profiles.measurement import Latency, Measurement, Source
from hardware_profiles.value import Value

Array = npt.NDArray[Any]


class Anchor(Value):
    """The fixed model that every measurement is interleaved with, and what it takes on this device.

    `constant_ms` is its minimum over several fresh processes, for the device, runtime and threads
    that `source` names; it is fixed when a study starts. `sha256` names the anchor's file.
    """

    sha256: str
    constant_ms: Annotated[float, Field(gt=0)]
    source: Source


class Estimate(Value):
    """What was worked out for a model without running it, each figure with `low` and `high`.

    `measurements` may have `latency_ms`, `arena_bytes`, `flash_bytes`, each of provenance 'estimated';
    `remarks` are sentences about what stands in the model's way, such as the ops that fall back.
    """

    measurements: tuple[Measurement, ...]
    remarks: tuple[str, ...] = ()

    def value(self, metric: str) -> float | None:
        """Return a figure, or None where it is not known."""
        return next((m.value for m in self.measurements if m.metric == metric), None)


@runtime_checkable
class Runner(Protocol):
    """Times models on one device."""

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, interleaved with the anchor in one fresh process; one Latency each.

        Without an anchor the constant is taken to be what this very run sees (for calibration).
        Raises MeasuringFailed where a model cannot be run, Unreachable where the device does not answer
        now, DeviceError where it cannot measure at all.
        """
        ...


@runtime_checkable
class Computes(Protocol):
    """Runs models on one device for what they give."""

    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs for some samples, one array (samples, *shape) for every output of the model.

        `inputs` has an array (samples, *shape) of the tensor's own type for every input, in the
        file's order; shapes are without the batch of 1. Raises as `Runner.measure` does.
        """
        ...


@runtime_checkable
class Estimates(Protocol):
    """Works out figures of a model by published coefficients or a vendor's own model of the device."""

    def estimate(self, model: Path) -> Estimate:
        """Return what can be told. Raises MeasuringFailed for a model that it cannot be told of."""
        ...


def same_samples(inputs: Sequence[Array]) -> int:
    """Return how many samples there are. Raises ValueError unless every input has as many, and some."""
    counts = {len(array) for array in inputs}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"every input has as many samples, at least 1, got {sorted(counts) or 'no input'}")
    return int(np.max(list(counts)))
