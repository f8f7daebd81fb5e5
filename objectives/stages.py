"""The stages of one network on one fold of the data: base, adapted, form; each kept by its digest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware_profiles.micro import RUNTIME as MICRO
from objectives.accuracy import by_litert, by_micro
from objectives.adapt import Adapter, Network, adapted
from objectives.agreement import check_agreement
from objectives.aware import parameter_count
from objectives.blank import randomise
from objectives.build import build
from objectives.convert import AGREEING_SAMPLES, CALIBRATION_SAMPLES, Frozen, frozen, shipped
from objectives.errors import Mismatch, ObjectiveError
from objectives.inlet import Inlet, InletFitter
from objectives.metrics import Metric
from objectives.normalise import Normaliser
from objectives.tensorflow import keras
from objectives.train import Samples, Task, balanced_weights
from objectives.verify import Held, lost_columns, verify
from objectives.weights import WeightStore
from spaces.candidate import Candidate, Compression
from spaces.value import digest

if TYPE_CHECKING:
    from hardware_profiles.profile import HardwareProfile
    from objectives.accuracy import Scores
    from objectives.datasets.store import Data, Fold
    from objectives.setting import Setting
    from objectives.stopping import Watch

Array = np.ndarray[Any, np.dtype[Any]]
# Part of the name of kept weights. A change to what builds, trains or adapts networks that changes what
# they would be must change this number.
RECIPE = 5
MICRO_SAMPLES = 1000
"""TensorFlow Lite Micro takes up to a millisecond a sample here: a large set would outlast a training."""


@dataclass
class Clock:
    """Seconds by stage, added up over a trial."""

    seconds: dict[str, float] = field(default_factory=dict)
    _start: float = field(default_factory=time.perf_counter)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the trial began."""
        return time.perf_counter() - self._start

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Form:
    """A shippable file of one fold: its bytes, what it scores on validation data, what it holds.

    `float_value` is the metric of the network before its conversion, `stages` what it was after each stage.
    """

    data: bytes
    value: float
    float_value: float
    held: Held
    curve: tuple[Any, ...]
    parameters: int
    inlet: Inlet
    stages: tuple[float, ...] = ()


@dataclass
class _Last:
    """The network that the last form was made of, and its graph."""

    network: Network
    graph: Frozen | None = None


class FoldWork:
    """Trains, compresses, converts and scores candidates on one fold."""

    def __init__(self, setting: Setting, data: Data, fold: Fold, index: int, metric: Metric) -> None:
        self._setting, self._index, self._metric = setting, index, metric
        self._train = Samples(data.x_dev[fold.train], data.y_dev[fold.train])
        self._valid = Samples(data.x_dev[fold.valid], data.y_dev[fold.valid])
        self._kind = data.summary.kind
        self._last: _Last | None = None

    @cached_property
    def normaliser(self) -> Normaliser:
        """Fitted on this fold's training samples alone."""
        return Normaliser.fit(self._train.x, self._kind)

    @cached_property
    def calibration(self) -> Array:
        """Raw training samples that stand for the rest, for the ranges of activations."""
        return np.asarray(self._train.x[:CALIBRATION_SAMPLES])

    @cached_property
    def _inlets(self) -> InletFitter:
        train = self._train
        return InletFitter(self.normaliser, train.x, train.y, self._setting.seed)

    def inlet(self, candidate: Candidate) -> Inlet:
        """Return what stands before the candidate's network. Raises ObjectiveError where it cannot be."""
        return self._inlets.fit(candidate.reduction)

    def form(
        self, candidate: Candidate, store: WeightStore, clock: Clock, watch: Watch | None = None
    ) -> Form:
        """Return the candidate's file and what it shows on this fold; `watch` may end it by Hopeless.

        Raises Mismatch where the file is not what was asked, Diverged where training was not finite, and
        ChildFailed where converter or interpreter crashed.
        """
        with clock("reduce"):
            inlet = self.inlet(candidate)
        if not self._setting.training:
            self._refuse_training(candidate, store)
        network = self._network(candidate, inlet, store, clock, watch)
        with clock("convert"):
            data, scores = self._shipped(self._frozen(network, inlet), inlet, candidate)
        with clock("verify"):
            held = verify(data, candidate)
            self._refuse_lost_columns(data, inlet, candidate)
            self._refuse_disagreement(scores, network, inlet, candidate)
        with clock("score"):
            some = judged_samples(self._setting.profile)
            scores = scores_on(self._setting.profile)(data, self.normaliser, self._valid.x[:some])
            value = self._metric(self._valid.y[:some], scores)
        trained, parameters = network.trained, parameter_count(network.model)
        values = self.stage_values(candidate, store)
        return Form(data, value, trained.value, held, trained.curve, parameters, inlet, values)

    def stage_values(self, candidate: Candidate, store: WeightStore) -> tuple[float, ...]:
        """Return the metric of the float network after each stage, up to the first that is not kept."""
        values = []
        for stage in candidate.stages:
            if (value := store.value(self._name(stage))) is None:
                break
            values.append(value)
        return tuple(values)

    def training_s(self, candidate: Candidate, store: WeightStore) -> float:
        """Return what the training of the candidate's network took, in whichever trial that was."""
        return store.seconds(self._name(candidate.stages[0])) or 0.0

    def _network(
        self, candidate: Candidate, inlet: Inlet, store: WeightStore, clock: Clock, watch: Watch | None
    ) -> Network:
        """Return the adapted network, the very one where the last form was made of it."""
        if self._last is None or self._last.network.stage != candidate.stages[-1]:
            made = adapted(self._adapter(inlet, clock, watch), candidate, store, self._name)
            self._last = _Last(made)
        return self._last.network

    def _frozen(self, network: Network, inlet: Inlet) -> Frozen:
        """Return the network's graph, made once for all forms of it."""
        assert self._last is not None  # the network is the last one
        if self._last.graph is None:
            self._last.graph = frozen(network.model, inlet)
        return self._last.graph

    def _shipped(self, network: Frozen, inlet: Inlet, candidate: Candidate) -> tuple[bytes, Array]:
        """Convert a network as the candidate and the setting ask, and return the file's scores as well."""
        return shipped(network, inlet, candidate.compression, self._setting.input_type, self.calibration)

    def blank(self, candidate: Candidate) -> bytes:
        """Return the file of the untrained network, which weighs and runs like that of the trained one.

        Which layers get 4 bits depends on the trained weights: where not all do, it is not known.
        """
        inlet = self.inlet(candidate)
        model = self._adapter(inlet, Clock()).blank(candidate.stages[-1])
        blank = frozen(randomise(model, self._setting.seed), inlet)
        return self._shipped(blank, inlet, candidate)[0]

    def epoch_s(self, candidate: Candidate) -> float:
        """Return how many seconds an epoch of the candidate's training takes here. Raises as `form` does."""
        return self._adapter(self.inlet(candidate), Clock()).epoch_s(candidate.stages[0])

    def _adapter(self, inlet: Inlet, clock: Clock, watch: Watch | None = None) -> Adapter:
        setting = self._setting
        classes = setting.problem.classes
        weights = balanced_weights(self._train.y, classes) if setting.class_weights == "balanced" else None
        task = Task(self._train, self._valid, inlet, self._metric, weights, setting.seed)
        return Adapter(lambda stage: build(stage, setting.problem, setting.seed), task, clock, watch=watch)

    def _refuse_training(self, candidate: Candidate, store: WeightStore) -> None:
        if store.get(self._name(candidate.stages[-1])) is None:
            raise ObjectiveError(
                "its weights are not kept any more, and nothing is trained here; give --trials to train again"
            )

    def _name(self, stage: Candidate) -> str:
        return weights_name(self._setting, stage, self._index, self._metric)

    def _refuse_lost_columns(self, data: bytes, inlet: Inlet, candidate: Candidate) -> None:
        """Raise Mismatch where what reaches the first quantization vanishes in it."""
        normalised = self.normaliser.apply(self.calibration)
        if candidate.compression.quantization == "aware" and inlet.reduces:
            normalised = np.asarray(inlet.reduce(normalised))  # which happens before it, in float
        if lost := lost_columns(data, normalised):
            raise Mismatch(
                f"input quantization leaves {lost} of {normalised.shape[-1]} columns constant; "
                "a precision other than int8 keeps them"
            )

    def _refuse_disagreement(
        self, scores: Array, network: Network, inlet: Inlet, candidate: Candidate
    ) -> None:
        samples = self.calibration[:AGREEING_SAMPLES]
        expected = np.asarray(network.model(inlet(samples), training=False))

        def unrounded() -> Array:
            return shipped(self._frozen(network, inlet), inlet, Compression(), "float32", samples)[1]

        check_agreement(scores, expected, candidate.compression, unrounded)


def scores_on(profile: HardwareProfile) -> Scores:
    """Return what runs a file with the kernels that a device uses."""
    return by_micro if profile.runtime.name == MICRO else by_litert


def judged_samples(profile: HardwareProfile) -> int | None:
    """Return by how many validation samples a file is judged while searching; None means all."""
    return MICRO_SAMPLES if profile.runtime.name == MICRO else None


def weights_name(setting: Setting, stage: Candidate, fold: int, metric: Metric) -> str:
    """Name a stage's weights by all that they depend on; the metric says which epoch was the best."""
    judged_by = f"{metric.name} ({metric.direction}){metric.version}"
    versions = f"{RECIPE}/{keras().__version__}"
    return digest(
        stage.digest, setting.data_digest, fold, setting.seed, setting.class_weights, judged_by, versions
    )
