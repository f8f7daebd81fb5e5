"""The runner that plays recorded measurements: for tests, and for a device that is elsewhere."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from hardware_profiles.anchor import NoAnchor, anchor_sha256
from hardware_profiles.artifact import write_atomically
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.base import Anchor, Array, Computes, Runner
from hardware_profiles.value import Value

LOCK_S = 60.0
"""How long to wait for another process that is adding to the same recording."""


class NotRecorded(MeasuringFailed):
    """Nobody has measured this model; of another, such as what it becomes by training, somebody may have."""


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

    def joined(self, other: "Recording") -> "Recording":
        """Return both together; of a model that both have, the other's figure."""
        return Recording(latencies={**self.latencies, **other.latencies})


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

    @classmethod
    def from_file(cls, path: Path) -> "ReplayRunner":
        """Play a recording's file. Raises DeviceError, on one line, if it is missing or is no recording."""
        return cls(Recording.load(path))

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Return the recorded Latency of each model.

        Raises NotRecorded for one not recorded; for the anchor NoAnchor, if all the rest is of one
        source: what is played back needs no constant.
        """
        return tuple(self._recorded(model) for model in models)

    def _recorded(self, model: Path) -> Latency:
        digest = sha256_of(model)
        if digest not in self.latencies:
            sources = {latency.source for latency in self.latencies.values()}
            if digest == anchor_sha256() and len(sources) == 1:
                raise NoAnchor("the recording has no run of the anchor", sources.pop())
            raise NotRecorded(
                f"'{model}' (SHA-256 {digest[:12]}) is not among the {len(self.latencies)} recorded models; "
                "measure it on the device and add it to the recording"
            )
        return self.latencies[digest]


class Recorder:
    """A runner that measures with another one, and adds what that saw to a recording's file.

    Several processes may add to one file; each waits for its turn by a lock beside it. Raises DeviceError
    where the file is there and is no recording. It computes if, and only if, the one within does.
    """

    compute: Callable[[Path, Sequence[Array]], tuple[Array, ...]]

    def __init__(self, runner: Runner, path: Path) -> None:
        self.runner, self.path = runner, path.absolute()
        if self.path.exists():
            Recording.load(self.path)
        if isinstance(runner, Computes):
            self.compute = runner.compute

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Measure, and record it. Raises what the runner raises, DeviceError where it cannot be written."""
        digests = [sha256_of(model) for model in models]
        latencies = self.runner.measure(models, anchor)
        if latencies:
            self._add(Recording(latencies=dict(zip(digests, latencies, strict=True))))
        return latencies

    def _add(self, more: Recording) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_S):
                known = Recording.load(self.path) if self.path.exists() else Recording()
                known.joined(more).save(self.path)
        except Timeout as error:
            raise DeviceError(f"{self.path} is being written by another process for {LOCK_S:g} s") from error
        except OSError as error:
            raise DeviceError(f"cannot write the recording {self.path}: {error.strerror}") from error


def sha256_of(model: Path) -> str:
    """Return the SHA-256 of a file. Raises MeasuringFailed if it cannot be read."""
    try:
        return hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise MeasuringFailed(f"cannot read the model '{model}': {error.strerror}") from error
