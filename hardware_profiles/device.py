"""One device as a study sees it: what can be told of a model on it, and how each number comes about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hardware_profiles.anchor import calibrate
from hardware_profiles.arena_plan import planned_bytes
from hardware_profiles.connect import connect, is_estimated, silent
from hardware_profiles.connection import Connection
from hardware_profiles.energy import energy, meter_of
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import read_graph
from hardware_profiles.measurement import Latency, Measurement, Source
from hardware_profiles.micro import RUNTIME as MICRO
from hardware_profiles.micro import ArenaUnknown, arena
from hardware_profiles.profile import HardwareProfile, Precision, unsupported_ops
from hardware_profiles.runners.base import Anchor, Estimates, Runner
from hardware_profiles.runners.command import CommandRunner
from hardware_profiles.runners.wrapping import unwrapped
from hardware_profiles.value import Value


class Reading(Value):
    """What is known of one model on a device; `latency` in full only where it was measured.

    `measurements` has latency_ms (with latency_median_ms and latency_p90_ms where it was measured),
    arena_bytes, energy_mj and what an estimator tells besides; what is not known is not there.
    """

    latency: Latency | None = None
    measurements: tuple[Measurement, ...] = ()
    remarks: tuple[str, ...] = ()

    def value(self, metric: str) -> float | None:
        """Return a figure, or None where it is not known."""
        found = self.measurement(metric)
        return None if found is None else found.value

    def measurement(self, metric: str) -> Measurement | None:
        """Return a measurement by its metric, or None."""
        return next((m for m in self.measurements if m.metric == metric), None)


@dataclass(frozen=True)
class Device:
    """A profile and what tells of it: a `runner` that measures there, or an `estimator`, or neither."""

    profile: HardwareProfile
    runner: Runner | None
    estimator: Estimates | None

    @classmethod
    def at(
        cls,
        profile: HardwareProfile,
        threads: int = 1,
        connection: Connection | None = None,
        say: Callable[[str], None] = silent,
    ) -> Device:
        """Return the device where the connection says. Raises DeviceError where it cannot be had so."""
        if is_estimated(connection):
            return cls(profile, None, estimator_of(profile))
        return cls(profile, connect(profile, threads, connection, say), None)

    @property
    def is_micro(self) -> bool:
        """Whether it runs TensorFlow Lite Micro, whose kernels and allocator can be asked on this host."""
        return self.profile.runtime.name == MICRO

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What the device runs; without a device at hand, of that what its latency can be estimated of."""
        whole = self.profile.precisions
        if self.estimator is None or not self.tells_latency:
            return whole
        npu = self.profile.accelerator is not None
        return tuple(p for p in whole if p == "int8" or (npu and p == "int16x8"))

    @property
    def tells_latency(self) -> bool:
        """Whether there is a source of latency, measured or estimated."""
        npu = self.profile.accelerator
        return self.runner is not None or (
            self.estimator is not None and (npu is None or npu.kind != "edge-tpu")
        )

    @property
    def provenance(self) -> str:
        """How a latency here comes about, or 'none'."""
        if self.runner is not None:
            return "measured"
        return "estimated" if self.tells_latency else "none"

    def calibrated(self, processes: int = 5) -> Anchor | None:
        """Return what the anchor takes, None where nothing is measured. Raises as `calibrate` does."""
        return None if self.runner is None else calibrate(self.runner, processes)

    def read_all(
        self, models: Sequence[Path], anchor: Anchor | None, wanted: Collection[str] = ()
    ) -> list[Reading | Exception]:
        """Return for each model what `read` does, or the MeasuringFailed that it raises.

        They are measured in one go; where that fails, one by one, for one may have brought all down. Raises
        what else the runner raises.
        """
        try:
            timed = self.runner.measure(models, anchor) if self.runner is not None and len(models) > 1 else ()
        except MeasuringFailed:
            timed = ()
        found: list[Reading | Exception] = []
        for model, latency in zip_longest(models, timed):
            try:
                found.append(self.read(model, anchor, wanted, latency))
            except MeasuringFailed as error:
                found.append(error)
        return found

    def read(
        self,
        model: Path,
        anchor: Anchor | None,
        wanted: Collection[str] = (),
        known: Latency | None = None,
    ) -> Reading:
        """Return what is known of a model; `wanted` are metrics without which a reading is of no use.

        `known` is its latency, if that was measured already. Raises MeasuringFailed for a model that cannot
        be run or told of, or lacks what is wanted, and what the runner raises.
        """
        self._refuse_ops(model)
        if known is None:
            latency, timed, remarks = self._timed(model, anchor, wanted)
        else:
            latency, timed, remarks = known, timings(known), ()
        found = (*timed, *self._arena(model, wanted, timed))
        found = (*found, *energy(self.profile, found, self.runner, model, anchor, wanted))
        reading = Reading(latency=latency, measurements=found, remarks=remarks)
        if missing := [metric for metric in wanted if reading.value(metric) is None]:
            why = f": {'; '.join(remarks)}" if remarks else ""
            raise MeasuringFailed(f"{missing[0]} is not known of this model on '{self.profile.name}'{why}")
        return reading

    def memory(self, model: Path) -> Reading:
        """Return the memory that a model takes at least, without a run on a device: one may take minutes.

        Of a device whose own program may tell less than this host does, it is what activations take alone.
        Raises as `read` does.
        """
        if self.runner is None:
            return self.read(model, None, {"arena_bytes"})
        (found,) = self._arena(model, {"arena_bytes"}, ())
        if found.low is not None and isinstance(unwrapped(self.runner), CommandRunner):
            found = found.model_copy(update={"value": found.low})
        return Reading(measurements=(found,))

    def _refuse_ops(self, model: Path) -> None:
        """Raise MeasuringFailed for operators that the device has no kernels for."""
        if self.profile.ops is None and not self.is_micro:
            return
        if missing := unsupported_ops(self.profile, read_graph(model.read_bytes()).kinds):
            raise MeasuringFailed(f"'{self.profile.name}' has no kernel for {', '.join(missing)}")

    def _timed(
        self, model: Path, anchor: Anchor | None, wanted: Collection[str]
    ) -> tuple[Latency | None, tuple[Measurement, ...], tuple[str, ...]]:
        if self.runner is not None:
            (latency,) = self.runner.measure([model], anchor)
            return latency, timings(latency), ()
        if self.estimator is not None:
            try:
                told = self.estimator.estimate(model)
            except MeasuringFailed as reason:
                if not {"latency_ms", "energy_mj"}.isdisjoint(wanted):
                    raise
                return None, (), (str(reason),)
            return None, told.measurements, told.remarks
        return None, (), ()

    def _arena(
        self, model: Path, wanted: Collection[str], known: Collection[Measurement]
    ) -> tuple[Measurement, ...]:
        if any(m.metric == "arena_bytes" for m in known):
            return ()
        source = next((m.source for m in known if m.metric == "latency_ms"), None)
        if source is not None and (told := arena_there(self.runner, model)) is not None:
            return (Measurement(metric="arena_bytes", value=told, source=source),)
        if self.is_micro:
            try:
                return (arena(model).measurement(self.profile.name),)
            except ArenaUnknown as reason:
                raise MeasuringFailed(str(reason)) from None
        return (planned(model, self.profile.name),) if "arena_bytes" in wanted else ()


def arena_there(runner: Runner | None, model: Path) -> int | None:
    """Return the working memory that a user's program told while it measured, if that is the way there."""
    within = None if runner is None else unwrapped(runner)
    return within.arena(model) if isinstance(within, CommandRunner) else None


def planned(model: Path, device: str) -> Measurement:
    """Return the memory of a model's tensors, worked out from its graph (see `planned_bytes`)."""
    size = planned_bytes(read_graph(model.read_bytes()))
    return Measurement(metric="arena_bytes", value=size, source=Source(provenance="estimated", device=device))


def timings(latency: Latency) -> tuple[Measurement, ...]:
    """Return a latency's figures as measurements: the ranked one, median and p90."""
    source = latency.source
    return (
        latency.measurement,
        Measurement(metric="latency_median_ms", value=latency.median_ms, source=source),
        Measurement(metric="latency_p90_ms", value=latency.p90_ms, source=source),
    )


def estimator_of(profile: HardwareProfile) -> Estimates | None:
    """Return what works out figures for a device, None where nothing is known to do it by.

    Raises DeviceError where the tool for it is not installed.
    """
    kind = profile.accelerator.kind if profile.accelerator else None
    if kind == "ethos-u":
        from hardware_profiles.runners.vela import VelaEstimator

        return VelaEstimator(profile)
    if kind == "edge-tpu":
        from hardware_profiles.runners.edgetpu import EdgeTpuEstimator

        return EdgeTpuEstimator(profile)
    if profile.runtime.kernels in profile.cycles_per_mac and profile.processor.clock_mhz:
        from hardware_profiles.runners.cycles import CyclesEstimator

        return CyclesEstimator(profile)
    return None


def objectives_of(device: Device) -> tuple[str, ...]:
    """Return what is optimised on a device unless somebody says otherwise."""
    size = "model_bytes" if device.profile.counts == "stored" else "compressed_bytes"
    return ("accuracy", "latency_ms" if device.tells_latency else "arena_bytes", size)


def refuse_untold(device: Device, metrics: Collection[str]) -> None:
    """Raise DeviceError, by name, for the first metric that nothing tells of this device."""
    name = device.profile.name
    if "latency_ms" in metrics and not device.tells_latency:
        raise DeviceError(
            f"there is no source of latency_ms for '{name}' here: leave the goal out (accuracy, model_bytes "
            "and arena_bytes can be told), or give --on with a connection to the device"
        )
    if "energy_mj" in metrics and not device.tells_latency:
        raise DeviceError(f"energy_mj of '{name}' needs its latency, of which there is no source here")
    if "energy_mj" in metrics and meter_of(device.profile) is None and device.profile.power.active_w is None:
        raise DeviceError(
            f"energy_mj needs the power that '{name}' draws, which its profile does not know: name a command "
            "that reads a power meter (power.meter) or the power (power.active_w) in a profile of your own"
        )
