"""What can be told of a candidate before it is trained: by a bound, and by its blank on the device.

What a blank was seen to take is not measured again: its trained form differs in numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hardware_profiles.device import Device, Reading
from hardware_profiles.energy import is_metered
from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.graph import read_graph
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency, Measurement, Provenance, Source
from hardware_profiles.runners.replay import NotRecorded
from objectives.canonical import least_bytes
from objectives.errors import ObjectiveError
from objectives.goals import Goal, Violation, limited_metric
from objectives.guard import ChildFailed
from objectives.outcome import Evidence, Infeasible
from objectives.setting import Setting
from objectives.stopping import Figures
from spaces.candidate import Candidate, Compression

OF_A_DEVICE = frozenset({"latency_ms", "arena_bytes", "energy_mj"})
"""The metrics that a device tells; the others are of the file or of its predictions."""


class Blank(NamedTuple):
    """An untrained network's file, and what the device told of it."""

    data: bytes
    reading: Reading

    def tells(self, metrics: frozenset[str], trained: bytes) -> bool:
        """Whether these metrics of the trained file are known by its blank."""
        known = all(self.reading.value(metric) is not None for metric in metrics)
        return known and same_graph(self.data, trained)


class Screening:
    """Tells of candidates by their blanks. It keeps those of one trial, until `forget`.

    `make` returns the untrained file of a candidate.
    """

    def __init__(self, setting: Setting, device: Device, make: Callable[[Candidate], bytes]) -> None:
        self._setting, self._device, self._make_file = setting, device, make
        self._files: dict[Candidate, bytes] = {}
        self._blanks: dict[Compression, Blank] = {}

    def forget(self) -> None:
        """Begin with another trial."""
        self._files.clear()
        self._blanks.clear()

    def blank(self, candidate: Candidate) -> Blank | None:
        """Return what is known of the candidate's blank, if it was looked at."""
        return self._blanks.get(candidate.compression)

    def infeasible(self, candidate: Candidate) -> Infeasible | None:
        """Return what limits make training pointless, told by a bound and then by the blank."""
        if not self._setting.screening:
            return None
        goals = {goal.metric: goal for goal in self._setting.goals if goal.limit is not None}
        if not self._estimated and not goals.keys() & {"model_bytes", "latency_ms", "arena_bytes"}:
            return None
        size = goals.get("model_bytes")
        least = least_bytes(candidate, self._setting.problem)
        if size is not None and size.violation(least) > 0:
            return _infeasible(size, least, stored_bytes(least, self._source("estimated")))
        return self._screen_blank(candidate, goals)

    def _screen_blank(self, candidate: Candidate, goals: dict[str, Goal]) -> Infeasible | None:
        bound = _is_bound(candidate)
        data = self._make(_all_low(candidate))
        size, latency = goals.get("model_bytes"), goals.get("latency_ms")
        stored = stored_bytes(len(data), self._source("estimated" if bound else "measured"))
        if size is not None and size.violation(len(data)) > 0:
            return _infeasible(size, len(data), stored)
        timed = latency is not None and latency.limit_on == "min"
        if bound or not (timed or self._estimated or "arena_bytes" in goals):
            return None
        try:
            reading = self._read_blank(data, timed=timed or self._estimated)
            reading = self._without_guesses(reading)
            if timed or self._estimated:
                self._blanks[candidate.compression] = Blank(data, reading)
        except NotRecorded:
            return None  # a recording has what was trained
        return self._screen_reading(reading, goals, stored)

    def _screen_reading(
        self, reading: Reading, goals: dict[str, Goal], stored: tuple[Measurement, ...]
    ) -> Infeasible | None:
        """Hold a blank against limits on what it takes to run; of an interval its best end counts."""
        for metric in ("latency_ms", "arena_bytes"):
            found, goal = reading.measurement(metric), goals.get(metric)
            if goal is None or found is None or goal.limit_on != "min":
                continue
            best = found.value if found.low is None or metric == "arena_bytes" else found.low
            if goal.violation(best) > 0:
                known = (*stored, *reading.measurements)
                return _infeasible(goal, found.value, known, reading.latency)
        return None

    def weighed(self, candidate: Candidate, limited: frozenset[str]) -> tuple[Measurement, ...]:
        """Return what the untrained network shows of the `limited` metrics, whatever their limits are."""
        data = self._make(_all_low(candidate))
        stored = stored_bytes(len(data), self._source("estimated" if _is_bound(candidate) else "measured"))
        timed = self._estimated or not limited.isdisjoint({"latency_ms", "energy_mj"})
        if not timed and "arena_bytes" not in limited:
            return stored
        try:
            return (*stored, *self._read_blank(data, timed=timed, wanted=limited & OF_A_DEVICE).measurements)
        except NotRecorded:
            return stored

    def known(self, candidate: Candidate) -> Figures:
        """Return what is known of the candidate's form before it is trained; of intervals the better end.

        Nothing is known where its blank cannot be had or told of: that is for the trained one to show.
        """
        if _is_bound(candidate):
            return {}
        try:
            blank = self._blanks.get(candidate.compression) or self._looked_at(candidate)
        except (MeasuringFailed, ObjectiveError, ChildFailed):
            return {}
        return figures_of(blank.reading, len(blank.data))

    def _make(self, candidate: Candidate) -> bytes:
        """Return the untrained file of a candidate, made once a trial."""
        if candidate not in self._files:
            self._files[candidate] = self._make_file(candidate)
        return self._files[candidate]

    def _looked_at(self, candidate: Candidate) -> Blank:
        data = self._make(candidate)
        made = Blank(data, self._without_guesses(self._read_blank(data, timed=True)))
        self._blanks[candidate.compression] = made
        return made

    @property
    def wanted(self) -> frozenset[str]:
        """What a goal asks of the device."""
        return frozenset(OF_A_DEVICE & {goal.metric for goal in self._setting.goals})

    @property
    def _estimated(self) -> bool:
        """Whether a goal is worked out rather than measured: of some models nothing can be told."""
        return self._device.estimator is not None and bool(self.wanted)

    def _read_blank(self, data: bytes, *, timed: bool, wanted: frozenset[str] = frozenset()) -> Reading:
        with TemporaryDirectory() as folder:
            path = Path(folder, "blank.tflite")
            path.write_bytes(data)
            if not timed:
                return self._device.memory(path)
            return self._device.read(path, self._setting.anchor, (self.wanted | wanted) - {"energy_mj"})

    def _without_guesses(self, reading: Reading) -> Reading:
        """Leave out an estimate of what is measured of a trained network: it would be taken for that."""
        if not is_metered(self._device.profile, self._device.runner):
            return reading
        told = tuple(m for m in reading.measurements if m.metric != "energy_mj")
        return reading.model_copy(update={"measurements": told})

    def _source(self, provenance: Provenance) -> Source:
        return source_of(self._setting, provenance)


def source_of(setting: Setting, provenance: Provenance) -> Source:
    """Return where a figure comes from that this machine found out."""
    return Source(provenance=provenance, device=setting.profile.name, machine=machine_id())


def same_graph(one: bytes, other: bytes) -> bool:
    """Tell whether two files differ in their numbers alone, and so take the same to run."""
    return len(one) == len(other) and read_graph(one).ops == read_graph(other).ops


def figures_of(reading: Reading, size: int) -> dict[str, float]:
    """Return the figures that do not depend on weights; of intervals the better end."""
    found = {m.metric: m.value if m.low is None else m.low for m in reading.measurements}
    return {**found, "model_bytes": float(size)}


def _is_bound(candidate: Candidate) -> bool:
    """Tell whether the blank only bounds the trained file, and is not the like of it.

    Which layers of a mix get 4 bits depends on the trained weights, and an adapted network of the user's own
    is not the graph that its blank is made of.
    """
    brought = candidate.model is not None and bool(candidate.compression.levers)
    return brought or candidate.compression.int4_share < 1


def _all_low(candidate: Candidate) -> Candidate:
    """Return the candidate with 4 bits in every layer: its file is smaller than that of any mix."""
    compression = candidate.compression.model_copy(update={"int4_share": 1.0})
    return candidate.model_copy(update={"compression": compression})


def _infeasible(
    goal: Goal, value: float, found: tuple[Measurement, ...], latency: Latency | None = None
) -> Infeasible:
    assert goal.limit is not None
    excess = goal.violation(value)
    broken = Violation(metric=limited_metric(goal), limit=goal.limit, value=value, excess=excess)
    return Infeasible(violations=(broken,), evidence=Evidence(measurements=found, latency=latency))


def stored_bytes(count: int, source: Source) -> tuple[Measurement, ...]:
    """Return the bytes of a file as a measurement."""
    return (Measurement(metric="model_bytes", value=count, source=source),)
