"""The anchor: the fixed model that every measurement is a ratio to, and its constant on a device."""

import hashlib
from functools import cache
from pathlib import Path

from hardware_profiles.errors import DeviceError
from hardware_profiles.measurement import Source
from hardware_profiles.runners.base import Anchor, Runner

UNIT_MS = 1.0
"""The constant of a device that does not run the anchor: its figures are ratios to a millisecond."""


class NoAnchor(DeviceError):
    """The device measures, but does not run the anchor; `source` says who has told so."""

    def __init__(self, message: str, source: Source) -> None:
        super().__init__(message)
        self.source = source

    def __reduce__(self) -> tuple[type["NoAnchor"], tuple[str, Source]]:
        return type(self), (str(self), self.source)


def anchor_path() -> Path:
    """Return where the anchor's file lies (made by scripts/make_anchor)."""
    return Path(__file__).parent / "anchor.tflite"


@cache
def anchor_sha256() -> str:
    """Return the SHA-256 (64 hex digits) of the anchor's file."""
    return hashlib.sha256(anchor_path().read_bytes()).hexdigest()


def calibrate(runner: Runner, processes: int = 5) -> Anchor:
    """Find what the anchor takes on a runner's device: the minimum over several fresh processes.

    For a device that does not run it, which a runner tells by NoAnchor, the constant is UNIT_MS.
    Raises ValueError if there is no process to take it from; MeasuringFailed and DeviceError as the
    runner does.
    """
    if processes < 1:
        raise ValueError(f"a calibration takes 1 process or more, got {processes}")
    try:
        seen = [runner.measure((anchor_path(),), None)[0] for _ in range(processes)]
    except NoAnchor as told:
        return Anchor(sha256=anchor_sha256(), constant_ms=UNIT_MS, source=told.source)
    quickest = min(seen, key=lambda latency: latency.min_ms)
    return Anchor(sha256=anchor_sha256(), constant_ms=quickest.min_ms, source=quickest.source)
