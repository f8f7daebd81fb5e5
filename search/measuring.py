"""Any `.tflite` measured on a device, without a study: latency, bytes, arena, and which is quicker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hardware_profiles.anchor import calibrate
from hardware_profiles.artifact import compressed_bytes
from hardware_profiles.connect import connect
from hardware_profiles.micro import Arena, ArenaUnknown, arena
from hardware_profiles.profile import load_profile
from search.errors import StudyError
from search.shipment import TensorSpec, tensor_specs

if TYPE_CHECKING:
    from hardware_profiles.measurement import Latency
    from search.places import Places


class Measured(NamedTuple):
    """One file and what was found of it; `arena` is the reason where it is not known."""

    path: Path
    latency: Latency
    model_bytes: int
    compressed_bytes: int
    arena: Arena | str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def measure(models: list[Path], device: str, threads: int, places: Places) -> list[Measured]:
    """Measure files in turn with each other and with the anchor, in one fresh process of the device.

    Raises StudyError for what is no `.tflite`, DeviceError for a device that cannot be reached,
    MeasuringFailed for a model that cannot be run there.
    """
    contents = [_read(path) for path in models]
    specs = [tensor_specs(data) for data in contents]
    runner = connect(load_profile(device, places.devices), threads)
    latencies = runner.measure(models, calibrate(runner))
    return [
        Measured(path, latency, len(data), compressed_bytes(data), _arena(path), *sides)
        for path, latency, data, sides in zip(models, latencies, contents, specs, strict=True)
    ]


def as_row(found: Measured) -> dict[str, Any]:
    """Return what was found as plain values; what is not known is None, with its reason beside it."""
    latency, known = found.latency, isinstance(found.arena, Arena)
    return {
        "model": str(found.path),
        "latency_ms": latency.latency_ms,
        "latency_ms_low": latency.low_ms,
        "latency_ms_high": latency.high_ms,
        "latency_ms_min": latency.min_ms,
        "latency_ms_median": latency.median_ms,
        "latency_ms_p90": latency.p90_ms,
        "latency_ms_p99": latency.p99_ms,
        "verdict": latency.verdict,
        "runs": latency.runs,
        **latency.source.model_dump(mode="json"),
        "model_bytes": found.model_bytes,
        "compressed_bytes": found.compressed_bytes,
        "arena_bytes": found.arena.total_bytes if isinstance(found.arena, Arena) else None,
        "arena_bytes_reason": None if known else found.arena,
        "inputs": [spec.model_dump(mode="json") for spec in found.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in found.outputs],
    }


def compared(one: Measured, other: Measured) -> str:
    """Say in a sentence which of two files is quicker, or that nobody can tell: their intervals overlap."""
    quick, slow = sorted((one, other), key=lambda found: found.latency.latency_ms)
    if quick.latency.high_ms >= slow.latency.low_ms:
        return f"{quick.path.name} and {slow.path.name} are equally quick, as far as can be told"
    times = slow.latency.latency_ms / quick.latency.latency_ms
    return f"{quick.path.name} is {times:.2f} times as quick as {slow.path.name}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudyError(f"'{path}' cannot be read ({error.strerror}); name a .tflite file") from error


def _arena(path: Path) -> Arena | str:
    try:
        return arena(path)
    except ArenaUnknown as reason:
        return str(reason)
