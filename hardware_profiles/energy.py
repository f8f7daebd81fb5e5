"""Energy of one inference: by a power meter while the model runs, else by the published power.

The latter is latency times what the whole device draws when it is busy, and so an estimate whatever the
latency was.
"""

import os
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hardware_profiles.errors import DeviceError
from hardware_profiles.measurement import Latency, Measurement, Source
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Anchor, Runner
from hardware_profiles.runners.wrapping import rewrapped, unwrapped

FEWEST_READINGS = 3
GRACE_S = 5.0


def meter_of(profile: HardwareProfile) -> tuple[str, ...] | None:
    """Return the command that reads the power meter on the device's supply, None if there is none."""
    return profile.power.meter


def is_metered(profile: HardwareProfile, runner: Runner | None) -> bool:
    """Tell whether energy is measured here where it is asked for."""
    return meter_of(profile) is not None and runner is not None


class MeteredRunner:
    """Holds a runner and is one, and keeps in `readings_w` what a meter printed while that one measured."""

    def __init__(self, runner: Runner, meter: Sequence[str]) -> None:
        self.runner, self.meter = runner, meter
        self.readings_w: list[float] = []

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Measure as the runner within does. Raises what it does, and DeviceError where the meter fails."""
        with metered(self.meter) as self.readings_w:
            return self.runner.measure(models, anchor)


def energy(
    profile: HardwareProfile,
    known: Collection[Measurement],
    runner: Runner | None,
    model: Path,
    anchor: Anchor | None,
    wanted: Collection[str],
) -> tuple[Measurement, ...]:
    """Return energy_mj of one inference, nothing where it is not known (W times ms is mJ).

    The meter is asked only where energy is `wanted`, for it takes one more run. Raises DeviceError where
    the meter fails.
    """
    timed = next((m for m in known if m.metric == "latency_ms"), None)
    if timed is None:
        return ()
    meter = meter_of(profile)
    if meter is not None and runner is not None and "energy_mj" in wanted:
        # Within the device's turn and each new try: what is drawn while one waits is not the model's.
        innermost = MeteredRunner(unwrapped(runner), meter)
        rewrapped(runner, innermost).measure([model], anchor)
        return (_energy(timed, _mean_w(innermost.readings_w, meter), timed.source),)
    if profile.power.active_w is None:
        return ()
    estimated = timed.source.model_copy(update={"provenance": "estimated"})
    return (_energy(timed, profile.power.active_w, estimated),)


def _energy(timed: Measurement, power_w: float, source: Source) -> Measurement:
    low, high = (None if bound is None else bound * power_w for bound in (timed.low, timed.high))
    return Measurement(metric="energy_mj", value=timed.value * power_w, low=low, high=high, source=source)


@contextmanager
def metered(command: Sequence[str]) -> Iterator[list[float]]:
    """Run a meter's command during the block, and fill the list with the watts that it printed, one a line.

    It is started without a shell and ended by SIGTERM. Raises DeviceError where it cannot be started, and
    for a line that is no positive number.
    """
    readings_w: list[float] = []
    with tempfile.TemporaryFile("w+") as output:
        try:
            meter = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, start_new_session=True
            )
        except OSError as error:
            raise DeviceError(
                f"the power meter's command '{command[0]}' cannot be started: {error.strerror}"
            ) from error
        try:
            yield readings_w
        finally:
            _end(meter)
        output.seek(0)
        readings_w += [_watts(line, command[0]) for line in output.read().splitlines() if line.strip()]


def _end(meter: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(meter.pid, signal.SIGTERM)
    try:
        meter.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(meter.pid, signal.SIGKILL)
        meter.wait()


def _watts(line: str, name: str) -> float:
    try:
        power_w = float(line)
    except ValueError:
        power_w = -1.0
    if not 0 < power_w < float("inf"):
        raise DeviceError(f"a power meter prints watts, one a line, and '{name}' printed '{line[:60]}'")
    return power_w


def _mean_w(readings_w: Sequence[float], command: Sequence[str]) -> float:
    if len(readings_w) < FEWEST_READINGS:
        raise DeviceError(
            f"a power meter is read {FEWEST_READINGS} times or more while a model runs, and '{command[0]}' "
            f"printed {len(readings_w)} lines: let it print more often, and flush its output"
        )
    return statistics.fmean(readings_w)
