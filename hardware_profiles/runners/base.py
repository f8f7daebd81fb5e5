"""The seam to whatever executes a `.tflite`: one method, so that a double is easy to trust."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from hardware_profiles.measurement import Latency, Source
from hardware_profiles.value import Value


class Anchor(Value):
    """The fixed model that every measurement is interleaved with, and what it takes on this device.

    `constant_ms` is its minimum over several fresh processes, for the device, runtime and threads
    that `source` names; it is fixed when a study starts. `sha256` names the anchor's file.
    """

    sha256: str
    constant_ms: Annotated[float, Field(gt=0)]
    source: Source


class Runner(Protocol):
    """Executes models on one device."""

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, interleaved with the anchor in one fresh process; one Latency each.

        Without an anchor the constant is taken to be what this very run sees (for calibration).
        Raises MeasuringFailed where a model cannot be run, DeviceError where the device cannot.
        """
        ...
