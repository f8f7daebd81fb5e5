"""One trial's work: candidate → screened → trained → compressed → artifact → measurements → outcome."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence

import numpy as np

from hardware_profiles.artifact import ArtifactStore, compressed_bytes
from hardware_profiles.device import Device, Reading
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.measurement import Measurement, Provenance, Source
from objectives.brief import Brief
from objectives.brought.work import BroughtWork
from objectives.datasets.callables import is_reference
from objectives.datasets.store import open_data
from objectives.errors import ObjectiveError
from objectives.goals import Direction, Goal
from objectives.goals import violations as broken_limits
from objectives.harvest import Harvest, Made
from objectives.metrics import load_metric
from objectives.outcome import Evidence, Failed, Fault, Harvested, Infeasible, Measured, Outcome, Stopped
from objectives.own import load_objective
from objectives.probe import LONG_EPOCH_S, Probe, for_one_epoch, forms_seconds, probe_of
from objectives.screening import Screening, figures_of, source_of, stored_bytes
from objectives.setting import Setting
from objectives.stages import Clock, FoldWork, Form
from objectives.stopping import Figures, Hopeless, Watch
from objectives.weights import WeightStore
from spaces.candidate import Candidate, Compression

NOTHING_KNOWN = Brief()


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
        self._screening = Screening(setting, self._device, self._folds[0].blank)

    def evaluate(self, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> Outcome:
        """Return how the trial ended. Whatever goes wrong is an outcome too, with its reason."""
        clock = Clock()
        self._screening.forget()
        outcome = self._outcome(candidate, brief, clock)
        evidence = outcome.evidence.model_copy(update={"seconds": clock.seconds})
        return outcome.model_copy(update={"evidence": evidence})

    def weigh(self, candidate: Candidate, limited: Collection[str]) -> Evidence | Failed:
        """Return what the untrained network shows of the `limited` metrics, whatever their limits are.

        What only a trained one tells is not there. Failed where it cannot be made or run on the device.
        Raises DeviceError and OSError where that is not the candidate's fault.
        """
        clock = Clock()
        try:
            with clock("screen"):
                found = self._screening.weighed(candidate, frozenset(limited))
        except MeasuringFailed as error:
            return _failed(error, "candidate")
        except (OSError, DeviceError):
            raise
        except Exception as error:  # as in a trial, it costs this candidate alone
            if "KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from error
            return _failed(error, "candidate")
        return Evidence(measurements=found, seconds=clock.seconds)

    def probe(self, candidate: Candidate, siblings: Sequence[Compression] = ()) -> Probe | Failed:
        """Return what the candidate's trial takes, told from one epoch or two on the real data.

        Its network would be offered in the forms of `siblings` too. Failed where the candidate cannot be
        trained, made or run. Raises DeviceError where that is not the candidate's fault.
        """
        fold, outcome = self._folds[0], self.evaluate(for_one_epoch(candidate))
        if not isinstance(fold, FoldWork):
            raise TypeError("what the training of a network that was brought takes is not probed")
        if isinstance(outcome, Failed) and outcome.fault != "candidate":
            raise DeviceError(outcome.error)
        if isinstance(outcome, Failed):
            return outcome
        seconds = outcome.evidence.seconds
        epoch_s = seconds.get("train", 0.0) / len(self._folds)
        try:
            epoch_s = epoch_s if epoch_s > LONG_EPOCH_S else fold.epoch_s(candidate)
        except ObjectiveError as error:  # the second epoch diverged
            return _failed(error, "candidate")
        told = probe_of(candidate, seconds, epoch_s * len(self._folds))
        forms_s = forms_seconds(self, candidate, siblings, outcome.evidence.values, told.epoch_s)
        return told.model_copy(update={"forms_s": forms_s})

    def _outcome(self, candidate: Candidate, brief: Brief, clock: Clock) -> Outcome:
        try:
            with clock("screen"):
                infeasible = self._screening.infeasible(candidate)
            return infeasible or self._trained(candidate, brief, clock)
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

    def _trained(self, candidate: Candidate, brief: Brief, clock: Clock) -> Outcome:
        """Train and measure the candidate, unless that is hopeless, then offer its network in other forms."""
        watch = self._watch(candidate, brief, clock)
        try:
            made = self.make(candidate, clock, watch)
        except Hopeless as hopeless:
            return self._stopped(candidate, brief, hopeless, clock)
        reading = self._read_one(made, clock)
        evidence = self.evidence(made, reading)
        known = figures_of(reading, len(made.forms[0].data))
        harvest = Harvest(self, candidate, brief, known, evidence.values, clock).forms()
        doubt = watch.doubt if watch else None
        evidence = evidence.model_copy(update={"harvest": harvest, "doubt": doubt})
        broken = broken_limits(self._setting.goals, evidence.values)
        return Infeasible(violations=broken, evidence=evidence) if broken else Measured(evidence=evidence)

    def _stopped(self, candidate: Candidate, brief: Brief, hopeless: Hopeless, clock: Clock) -> Stopped:
        """End a trial early; if its network is there all the same, it is offered in other forms."""
        blank = self._screening.blank(candidate)
        found: tuple[Harvested, ...] = ()
        size = stored_bytes(len(blank.data), self._source("measured")) if blank else ()
        if self.values(candidate):
            known = self._screening.known(candidate)
            found = Harvest(self, candidate, brief, known, {}, clock).forms()
        evidence = Evidence(
            measurements=(*blank.reading.measurements, *size) if blank else (),
            latency=blank.reading.latency if blank else None,
            curve=hopeless.curve,
            stages=self.values(candidate),
            harvest=found,
        )
        doubt = hopeless.doubt
        return Stopped(epoch=doubt.epoch, reason=doubt.reason, expected=doubt.expected, evidence=evidence)

    def _watch(self, candidate: Candidate, brief: Brief, clock: Clock) -> Watch | None:
        """Return what may end the trial early; of several folds none may, for one alone decides nothing."""
        if brief.standing is None or not brief.stopping or len(self._folds) > 1:
            return None

        def look() -> Figures:
            with clock("screen"):
                return self._screening.known(candidate)

        forms = (candidate.compression, *brief.siblings)
        epochs, audit = candidate.training.epochs, brief.audit
        return Watch(brief.standing, self.goals, self.direction, epochs, forms, look, audit=audit)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals of the study."""
        return self._setting.goals

    @property
    def direction(self) -> Direction:
        """Whether more of the study's metric is better."""
        return self._setting.metric_direction

    def values(self, candidate: Candidate) -> tuple[float, ...]:
        """Return the mean metric of the float network after each stage that is kept, over the folds."""
        by_fold = [fold.stage_values(candidate, self._weights) for fold in self._folds]
        return tuple(float(np.mean(values)) for values in zip(*by_fold, strict=False))

    def training_s(self, candidate: Candidate) -> float:
        """Return what the training of the candidate's network took over all folds, in whichever trial."""
        return sum(fold.training_s(candidate, self._weights) for fold in self._folds)

    def make(self, candidate: Candidate, clock: Clock, watch: Watch | None = None) -> Made:
        """Train, compress and convert, as far as it is not done yet, and keep the file.

        Raises Hopeless where the watch does, and what `FoldWork.form` raises.
        """
        start = time.perf_counter()
        forms = tuple(fold.form(candidate, self._weights, clock, watch) for fold in self._folds)
        name = self._artifacts.put(forms[0].data)
        return Made(candidate, forms, name, time.perf_counter() - start)

    def _read_one(self, made: Made, clock: Clock) -> Reading:
        """Measure a form, unless its blank was, which takes the same: then that is what is known."""
        blank = self._screening.blank(made.candidate)
        if blank is not None and blank.tells(self._screening.wanted, made.forms[0].data):
            return blank.reading
        with clock("measure"):
            return self._device.read(
                self._artifacts.path(made.artifact), self._setting.anchor, self._screening.wanted
            )

    def read(self, made: Sequence[Made], clock: Clock) -> list[Reading | Exception]:
        """Measure some forms in one go: what is known of each, or why nothing is."""
        paths = [self._artifacts.path(form.artifact) for form in made]
        with clock("measure"):
            return self._device.read_all(paths, self._setting.anchor, self._screening.wanted)

    def shown(self, made: Made) -> tuple[Measurement, ...]:
        """Return what a form shows without its device: accuracies, sparsity, bytes."""
        return (*self._accuracy(made.forms), *self._sizes(made.forms[0]))

    def evidence(self, made: Made, reading: Reading) -> Evidence:
        """Join all that is known of a form."""
        shipped = made.forms[0]
        path = self._artifacts.path(made.artifact)
        own = [objective.measure(path, self._setting.profile) for objective in self._own]
        return Evidence(
            measurements=(*self._accuracy(made.forms), *reading.measurements, *self._sizes(shipped), *own),
            latency=reading.latency,
            artifact=made.artifact,
            inputs_used=shipped.inlet.columns,
            curve=shipped.curve,
            parameters=shipped.parameters,
            stages=self.values(made.candidate),
        )

    def _accuracy(self, forms: Sequence[Form]) -> tuple[Measurement, ...]:
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
            *stored_bytes(len(form.data), source),
            Measurement(metric="compressed_bytes", value=compressed_bytes(form.data), source=source),
        )

    def _source(self, provenance: Provenance) -> Source:
        return source_of(self._setting, provenance)


def _failed(error: Exception, fault: Fault) -> Failed:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    ours = type(error).__module__.split(".")[0] in ("objectives", "hardware_profiles")
    known = ours and isinstance(error, ValueError)
    text = lines[0] if known else f"{type(error).__name__}: {lines[0]}"
    return Failed(error=text, fault=fault)


def _say(text: str) -> None:
    """Tell who is waited for: a worker's standard error is shown by its executor."""
    print(text, file=sys.stderr, flush=True)
