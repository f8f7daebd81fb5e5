"""One trial's work: candidate → screened → trained → compressed → artifact → measurements → outcome."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hardware_profiles.artifact import ArtifactStore, compressed_bytes
from hardware_profiles.device import Device, Reading
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency, Measurement, Provenance, Source
from hardware_profiles.runners.replay import NotRecorded
from objectives.brought.work import BroughtWork
from objectives.canonical import least_bytes
from objectives.datasets.callables import is_reference
from objectives.datasets.store import open_data
from objectives.goals import Goal, Violation, limited_metric
from objectives.goals import violations as broken_limits
from objectives.metrics import load_metric
from objectives.outcome import Evidence, Failed, Fault, Infeasible, Measured, Outcome
from objectives.own import load_objective
from objectives.setting import Setting
from objectives.stages import Clock, FoldWork, Form
from objectives.weights import WeightStore
from spaces.candidate import Candidate

OF_A_DEVICE = frozenset({"latency_ms", "arena_bytes", "energy_mj"})
"""The metrics that a device tells; the others are of the file or of its predictions."""


class Evaluator:
    """Evaluates candidates of one study, in one process that keeps TensorFlow warm.

    Opening it reads the data; raises DataError or DeviceError where that or the device is not there. `device`
    is what tells of models, by default what the setting says.
    """

    def __init__(self, setting: Setting, device: Device | None = None) -> None:
        self._setting = setting
        self._device = device or Device.at(setting.profile, setting.threads, setting.connection, _say)
        self._own = [load_objective(goal.metric) for goal in setting.goals if is_reference(goal.metric)]
        self._artifacts = ArtifactStore(setting.artifacts)
        self._weights = WeightStore(setting.weights, setting.weights_budget_bytes)
        data = open_data(setting.data_root, setting.data_digest)
        metric = load_metric(setting.metric, setting.metric_direction)
        make = FoldWork if setting.model is None else BroughtWork
        self._folds = [make(setting, data, fold, i, metric) for i, fold in enumerate(data.folds)]

    def evaluate(self, candidate: Candidate) -> Outcome:
        """Return how the trial ended. Whatever goes wrong is an outcome too, with its reason."""
        clock = Clock()
        outcome = self._outcome(candidate, clock)
        evidence = outcome.evidence.model_copy(update={"seconds": clock.seconds})
        return outcome.model_copy(update={"evidence": evidence})

    def _outcome(self, candidate: Candidate, clock: Clock) -> Outcome:
        try:
            with clock("screen"):
                infeasible = self._screened(candidate)
            return infeasible or self._measured(candidate, clock)
        except MeasuringFailed as error:
            return _failed(error, "candidate")
        except Unreachable as error:
            return _failed(error, "device")
        except (OSError, DeviceError) as error:
            return _failed(error, "infrastructure")
        except Exception as error:  # whatever TensorFlow raises costs this candidate alone
            if "KeyboardInterrupt" in str(error):  # which native code takes for an error of its own
                raise KeyboardInterrupt from error
            return _failed(error, "candidate")

    def _screened(self, candidate: Candidate) -> Infeasible | None:
        """Return what limits make training pointless, told by a bound and then by the blank."""
        goals = {goal.metric: goal for goal in self._setting.goals if goal.limit is not None}
        if not self._estimated and not goals.keys() & {"model_bytes", "latency_ms", "arena_bytes"}:
            return None
        size = goals.get("model_bytes")
        least = least_bytes(candidate, self._setting.problem)
        if size is not None and size.violation(least) > 0:
            return _infeasible(size, least, _bytes(least, self._source("estimated")))
        return self._screen_blank(candidate, goals)

    def _screen_blank(self, candidate: Candidate, goals: dict[str, Goal]) -> Infeasible | None:
        bound = _is_bound(candidate)
        data = self._folds[0].blank(_all_low(candidate))
        size, latency = goals.get("model_bytes"), goals.get("latency_ms")
        stored = _bytes(len(data), self._source("estimated" if bound else "measured"))
        if size is not None and size.violation(len(data)) > 0:
            return _infeasible(size, len(data), stored)
        timed = latency is not None and latency.limit_on == "min"
        if bound or not (timed or self._estimated or "arena_bytes" in goals):
            return None
        try:
            reading = self._read_blank(data, timed=timed or self._estimated)
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

    def _measured(self, candidate: Candidate, clock: Clock) -> Measured | Infeasible:
        forms = [fold.form(candidate, self._weights, clock) for fold in self._folds]
        shipped = forms[0]
        name = self._artifacts.put(shipped.data)
        path = self._artifacts.path(name)
        with clock("measure"):
            reading = self._device.read(path, self._setting.anchor, self._wanted)
            own = [objective.measure(path, self._setting.profile) for objective in self._own]
        evidence = Evidence(
            measurements=(*self._accuracy(forms), *reading.measurements, *self._sizes(shipped), *own),
            latency=reading.latency,
            artifact=name,
            inputs_used=shipped.inlet.columns,
            curve=shipped.curve,
            parameters=shipped.parameters,
        )
        broken = broken_limits(self._setting.goals, evidence.values)
        return Infeasible(violations=broken, evidence=evidence) if broken else Measured(evidence=evidence)

    @property
    def _wanted(self) -> frozenset[str]:
        """What a goal asks of the device."""
        return frozenset(OF_A_DEVICE & {goal.metric for goal in self._setting.goals})

    @property
    def _estimated(self) -> bool:
        """Whether a goal is worked out rather than measured: of some models nothing can be told."""
        return self._device.estimator is not None and bool(self._wanted)

    def _read_blank(self, data: bytes, *, timed: bool) -> Reading:
        with TemporaryDirectory() as folder:
            path = Path(folder, "blank.tflite")
            path.write_bytes(data)
            if not timed:
                return self._device.memory(path)
            return self._device.read(path, self._setting.anchor, self._wanted - {"energy_mj"})

    def _accuracy(self, forms: list[Form]) -> tuple[Measurement, ...]:
        source = self._source("measured")
        values = [form.value for form in forms]
        mean, float_mean = float(np.mean(values)), float(np.mean([form.float_value for form in forms]))
        return (
            Measurement(metric="accuracy", value=mean, low=min(values), high=max(values), source=source),
            Measurement(metric="float_accuracy", value=float_mean, source=source),
            Measurement(metric="sparsity_reached", value=forms[0].held.sparsity, source=source),
            Measurement(metric="sparsity_overall", value=forms[0].held.sparsity_overall, source=source),
        )

    def _sizes(self, form: Form) -> tuple[Measurement, ...]:
        source = self._source("measured")
        return (
            *_bytes(len(form.data), source),
            Measurement(metric="compressed_bytes", value=compressed_bytes(form.data), source=source),
        )

    def _source(self, provenance: Provenance) -> Source:
        return Source(provenance=provenance, device=self._setting.profile.name, machine=machine_id())


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


def _failed(error: Exception, fault: Fault) -> Failed:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    ours = type(error).__module__.split(".")[0] in ("objectives", "hardware_profiles")
    known = ours and isinstance(error, ValueError)
    text = lines[0] if known else f"{type(error).__name__}: {lines[0]}"
    return Failed(error=text, fault=fault)


def _infeasible(
    goal: Goal, value: float, found: tuple[Measurement, ...], latency: Latency | None = None
) -> Infeasible:
    assert goal.limit is not None
    excess = goal.violation(value)
    broken = Violation(metric=limited_metric(goal), limit=goal.limit, value=value, excess=excess)
    return Infeasible(violations=(broken,), evidence=Evidence(measurements=found, latency=latency))


def _bytes(count: int, source: Source) -> tuple[Measurement, ...]:
    return (Measurement(metric="model_bytes", value=count, source=source),)


def _say(text: str) -> None:
    """Tell who is waited for: a worker's standard error is shown by its executor."""
    print(text, file=sys.stderr, flush=True)
