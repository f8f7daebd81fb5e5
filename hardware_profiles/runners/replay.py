"""The runner that plays recorded measurements: for tests, and for a device that is elsewhere."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from hardware_profiles.artifact import write_atomically
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.base import Anchor, Runner
from hardware_profiles.value import Value


class Recording(Value):
    """Measurements by the SHA-256 of the model that they are of; as a JSON file it can be shared."""

    latencies: dict[str, Latency] = Field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the recording as JSON, all of it or nothing. Raises OSError where that cannot be."""
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read a recording. Raises DeviceError, on one line, if the file is missing or is no recording."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DeviceError(f"cannot read the recording {path}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise DeviceError(f"{path} is no recording: {where}: {first['msg']}") from error


def record(runner: Runner, models: Sequence[Path], anchor: Anchor | None) -> Recording:
    """Measure the models and keep the results as a recording. Raises what the runner raises."""
    latencies = runner.measure(models, anchor)
    return Recording(latencies=dict(zip(map(sha256_of, models), latencies, strict=True)))


class ReplayRunner:
    """Answers from recorded measurements, told apart by the models' bytes; runs nothing.

    The figures are given as recorded, with the source they had then: `anchor` is not looked at.
    """

    def __init__(self, recording: Mapping[str, Latency] | Recording) -> None:
        self.latencies = recording.latencies if isinstance(recording, Recording) else dict(recording)

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Return the recorded Latency of each model. Raises MeasuringFailed for one not recorded."""
        return tuple(self._recorded(model) for model in models)

    def _recorded(self, model: Path) -> Latency:
        digest = sha256_of(model)
        if digest not in self.latencies:
            raise MeasuringFailed(
                f"'{model}' (SHA-256 {digest[:12]}) is not among the {len(self.latencies)} recorded models; "
                "measure it on the device and add it to the recording"
            )
        return self.latencies[digest]


def sha256_of(model: Path) -> str:
    """Return the SHA-256 of a file. Raises MeasuringFailed if it cannot be read."""
    try:
        return hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise MeasuringFailed(f"cannot read the model '{model}': {error.strerror}") from error
