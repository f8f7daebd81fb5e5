"""Any `.tflite` measured on a device, without a study, and why something is not known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hardware_profiles.connect import silent
from hardware_profiles.connection import Command, Connection, Replay
from hardware_profiles.device import Device, arena_there, planned, timings
from hardware_profiles.energy import energy
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph
from hardware_profiles.measurement import Latency, Measurement
from hardware_profiles.micro import ArenaUnknown, arena
from hardware_profiles.profile import load_profile, unsupported_ops
from hardware_profiles.ways import latency_from_here
from search.agreement import Agreement, agreement, computer_of
from search.measured import Content, Measured, read_content

if TYPE_CHECKING:
    from hardware_profiles.runners.base import Anchor, Runner
    from search.places import Places


class _Told(NamedTuple):
    """What the runner or the estimator told of a model, or its `error`."""

    latency: Latency | None = None
    figures: tuple[Measurement, ...] = ()
    remarks: tuple[str, ...] = ()
    error: str | None = None


def measure(
    models: Sequence[Path], device: str, threads: int, places: Places, say: Callable[[str], None] = silent
) -> list[Measured]:
    """Measure files in turn with each other and with the anchor, or estimate where that was chosen.

    What is wrong with one file is its `error`, and the others are measured all the same. Raises DeviceError
    for a device that there is not, that cannot be reached or that cannot measure at all.
    """
    there = Device.at(load_profile(device, places.devices), threads, places.connection, say)
    contents = {path: read_content(path) for path in dict.fromkeys(models)}
    known = {path: content for path, content in contents.items() if isinstance(content, Content)}
    bench = _Bench(there, places.connection, _anchor(there, places.connection) if known else None)
    told = bench.told(known)
    found = {path: bench.measured(path, content, told[path]) for path, content in known.items()}
    failed = {
        path: Measured(path, there.profile.name, error=str(reason))
        for path, reason in contents.items()
        if path not in known
    }
    return [(found | failed)[path] for path in models]


def _anchor(device: Device, connection: Connection | None) -> Anchor | None:
    """Return what the anchor takes there, None where nothing runs now: a recording has its figures."""
    if isinstance(connection, Replay):
        return None
    if isinstance(connection, Command):  # each run may build and flash a firmware, and repeats well
        return device.calibrated(1)
    return device.calibrated()


@dataclass(frozen=True)
class _Bench:
    """The device, where it is, and what the anchor takes there."""

    device: Device
    connection: Connection | None
    anchor: Anchor | None

    @property
    def name(self) -> str:
        return self.device.profile.name

    def told(self, models: Mapping[Path, Content]) -> dict[Path, _Told]:
        """Return what is told of each model's latency."""
        runner, paths = self.device.runner, list(models)
        if runner is None:
            return {path: self._estimated(path, content.graph) for path, content in models.items()}
        seen = _timed(runner, paths, self.anchor)
        return {path: self._judged(path, result) for path, result in zip(paths, seen, strict=True)}

    def _judged(self, path: Path, seen: Latency | MeasuringFailed) -> _Told:
        if isinstance(seen, MeasuringFailed):
            return _Told(error=_naming(path, seen))
        if seen.source.device != self.name:
            return _Told(
                error=f"'{path}' was measured on '{seen.source.device}', not on '{self.name}': "
                f"give --device {seen.source.device}"
            )
        then = isinstance(self.connection, Replay)
        remarks = (f"recorded in {self.connection}, not measured now",) if then else ()
        return _Told(seen, timings(seen), remarks)

    def _estimated(self, path: Path, graph: Graph) -> _Told:
        profile, estimator = self.device.profile, self.device.estimator
        if profile.accelerator is None and (missing := unsupported_ops(profile, graph.kinds)):
            return _Told(error=f"'{path}' does not run on '{self.name}', which lacks {', '.join(missing)}")
        if estimator is None:
            return _Told()
        try:
            told = estimator.estimate(path)
        except MeasuringFailed as error:
            return _Told(error=_naming(path, error))
        return _Told(None, told.measurements, told.remarks)

    def measured(self, path: Path, content: Content, told: _Told) -> Measured:
        """Return all that is known of a model."""
        figures = {m.metric: m for m in told.figures}
        reasons = {} if "latency_ms" in figures else {"latency_ms": told.error or self._no_latency(told)}
        for metric, found in (
            ("arena_bytes", figures.get("arena_bytes") or self._arena(path, content.graph, told)),
            ("energy_mj", self._energy(path, told)),
        ):
            if isinstance(found, str):
                reasons[metric] = found
            else:
                figures[metric] = found
        missing = self._missing_ops(content.graph, told)
        agreed = self._agreement(path, content, told)
        reasons |= {"unsupported_ops": missing} if isinstance(missing, str) else {}
        reasons |= {"agreement": agreed} if isinstance(agreed, str) else {}
        return Measured(
            path=path,
            device=self.name,
            content=content,
            latency=told.latency,
            figures=figures,
            unsupported_ops=None if isinstance(missing, str) else missing,
            agreement=None if isinstance(agreed, str) else agreed,
            remarks=(*told.remarks, *self._room(content, figures)),
            reasons=reasons,
            error=told.error,
        )

    def _no_latency(self, told: _Told) -> str:
        if self.device.tells_latency and told.remarks:
            return told.remarks[0]
        way = latency_from_here(self.device.profile)
        return f"nothing estimates it for '{self.name}' (latency from here: {way})"

    def _arena(self, path: Path, graph: Graph, told: _Told) -> Measurement | str:
        """Return the working memory: told by the device, by its allocator run here, or planned."""
        there = arena_there(self.device.runner, path)
        if told.latency is not None and there is not None:
            return Measurement(metric="arena_bytes", value=there, source=told.latency.source)
        if self.device.is_micro:
            try:
                return arena(path).measurement(self.name)
            except ArenaUnknown as reason:
                return str(reason)
        if graph.has_dynamic_shapes:
            return "some of its shapes are known only when it runs"
        return planned(path, self.name)

    def _room(self, content: Content, figures: Mapping[str, Measurement]) -> list[str]:
        """Say so where a model needs more than there is; a program besides it needs some of that too."""
        memory, told = self.device.profile.memory, figures.get("arena_bytes")
        needs = (
            ("arena", None if told is None else told.value, "RAM", memory.ram_bytes),
            ("file", content.model_bytes, "storage", memory.storage_bytes),
        )
        return [
            f"it does not fit: its {what} takes {round(size)} bytes, and the {place} there has {there}"
            for what, size, place, there in needs
            if size is not None and there is not None and size > there
        ]

    def _energy(self, path: Path, told: _Told) -> Measurement | str:
        """Return the energy of a run; a power meter is read only while something does run."""
        runs = self.device.runner is not None and not isinstance(self.connection, Replay)
        profile, wanted = self.device.profile, ("energy_mj",) if runs else ()
        try:
            found = energy(profile, told.figures, self.device.runner, path, self.anchor, wanted)
        except DeviceError as error:
            return str(error)
        if found:
            return found[0]
        if not any(m.metric == "latency_ms" for m in told.figures):
            return "it follows from the latency, which is not known"
        return f"the profile '{self.name}' does not know what the device draws (power.active_w, power.meter)"

    def _missing_ops(self, graph: Graph, told: _Told) -> tuple[str, ...] | str:
        profile = self.device.profile
        if told.latency is not None:  # it ran
            return ()
        if profile.ops is None and not self.device.is_micro:
            return f"which operators '{profile.runtime.name}' lacks there shows when the model runs"
        return unsupported_ops(profile, graph.kinds)

    def _agreement(self, path: Path, content: Content, told: _Told) -> Agreement | str:
        """Return how far the outputs there agree with those here, or why that is not known."""
        if isinstance(content.outputs, str):
            return content.outputs
        if told.error is not None and self.device.runner is not None:
            return told.error
        computer = computer_of(self.device, self.connection)
        if isinstance(computer, str):
            return computer
        try:
            return agreement(path, content.graph, content.outputs, computer)
        except ValueError as error:  # also for a model without inputs
            return str(error)


def _timed(runner: Runner, models: Sequence[Path], anchor: Anchor | None) -> list[Latency | MeasuringFailed]:
    """Time the models in one process; where one of them cannot be, each by itself."""
    if not models:
        return []
    try:
        return list(runner.measure(models, anchor))
    except MeasuringFailed as error:
        if len(models) == 1:
            return [error]
    return [_timed(runner, [model], anchor)[0] for model in models]


def _naming(path: Path, error: MeasuringFailed) -> str:
    return str(error) if str(path) in str(error) else f"'{path}': {error}"
