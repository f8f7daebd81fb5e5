"""The stages of one network on one fold of the data: base, adapted, form; each kept by its digest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.accuracy import Scorer
from objectives.build import build
from objectives.convert import CALIBRATION_SAMPLES, convert
from objectives.errors import Mismatch
from objectives.metrics import Metric
from objectives.normalise import Normaliser
from objectives.prune import prune
from objectives.tensorflow import keras
from objectives.train import Samples, Task, Trainer, balanced_weights, train
from objectives.verify import lost_columns, verify
from objectives.weights import Trained, WeightStore
from spaces.value import digest

if TYPE_CHECKING:
    import tf_keras

    from objectives.datasets.store import Data, Fold
    from objectives.setting import Setting
    from spaces.candidate import Candidate

Array = np.ndarray[Any, np.dtype[Any]]
# Part of the name of kept weights. A change to build, train or prune that changes what they would be
# must change this number.
RECIPE = 3


@dataclass
class Clock:
    """Seconds by stage, added up over a trial."""

    seconds: dict[str, float] = field(default_factory=dict)

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
    """A shippable file of one fold: its bytes, what it scores on validation data, what it holds."""

    data: bytes
    value: float
    float_value: float
    sparsity: float
    curve: tuple[Any, ...]
    parameters: int


class _Work:
    """What has to be trained of one candidate on one fold; its graphs are traced if it comes to that."""

    def __init__(self, network: tf_keras.Model, candidate: Candidate, task: Task, clock: Clock) -> None:
        self.network, self.candidate = network, candidate
        self._task, self._clock = task, clock

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.network, self.candidate.training, self._task)

    def trained(self) -> Trained:
        """Train from scratch."""
        with self._clock("train"):
            curve = train(self._trainer)
        return Trained(self.network.get_weights(), curve)

    def pruned(self, base: Trained) -> Trained:
        """Fine-tune the trained network to the sparsity that the candidate asks for."""
        with self._clock("prune"):
            curve = prune(self._trainer, self.candidate.compression.sparsity)
        last = base.curve[-1].epoch
        shifted = tuple(point.model_copy(update={"epoch": point.epoch + last}) for point in curve)
        return Trained(self.network.get_weights(), (*base.curve, *shifted))


class FoldWork:
    """Trains, compresses, converts and scores candidates on one fold."""

    def __init__(self, setting: Setting, data: Data, fold: Fold, index: int, metric: Metric) -> None:
        self._setting, self._index, self._metric = setting, index, metric
        self._train = Samples(data.x_dev[fold.train], data.y_dev[fold.train])
        self._valid = Samples(data.x_dev[fold.valid], data.y_dev[fold.valid])
        self._kind = data.summary.kind

    @cached_property
    def normaliser(self) -> Normaliser:
        """Fitted on this fold's training samples alone."""
        return Normaliser.fit(self._train.x, self._kind)

    @cached_property
    def calibration(self) -> Array:
        """Raw training samples that stand for the rest, for the ranges of activations."""
        return np.asarray(self._train.x[:CALIBRATION_SAMPLES])

    @cached_property
    def task(self) -> Task:
        """What every training on this fold shares."""
        setting = self._setting
        classes = setting.problem.classes
        weights = balanced_weights(self._train.y, classes) if setting.class_weights == "balanced" else None
        return Task(self._train, self._valid, self.normaliser, self._metric, weights, setting.seed)

    def form(self, candidate: Candidate, store: WeightStore, clock: Clock) -> Form:
        """Return the candidate's file and what it shows on this fold.

        Raises Mismatch where the file is not what was asked, Diverged where training was not finite.
        """
        network, trained = self._adapted(candidate, store, clock)
        with clock("convert"):
            compression = candidate.compression
            data = self.convert(network, candidate)
            sparsity = verify(data, compression)
            self._refuse_lost_columns(data)
        with clock("score"):
            scores = Scorer(data, self.normaliser).scores(self._valid.x)
            value = self._metric(self._valid.y, scores)
        float_value = _settled(trained, candidate, self._metric)
        return Form(data, value, float_value, sparsity, trained.curve, network.count_params())

    def convert(self, network: tf_keras.Model, candidate: Candidate) -> bytes:
        """Convert a network as the candidate and the setting ask."""
        precision = candidate.compression.precision
        return convert(network, self.normaliser, precision, self._setting.input_type, self.calibration)

    def network(self, candidate: Candidate) -> tf_keras.Model:
        """Return the untrained network."""
        return build(candidate, self._setting.problem, self._setting.seed)

    def _adapted(
        self, candidate: Candidate, store: WeightStore, clock: Clock
    ) -> tuple[tf_keras.Model, Trained]:
        network = self.network(candidate)
        name = self._name(candidate.adapted_digest)
        if kept := store.get(name):
            network.set_weights(kept.weights)
            return network, kept
        work = _Work(network, candidate, self.task, clock)
        trained = self._base(work, store)
        if candidate.compression.sparsity:
            trained = work.pruned(trained)
            store.put(name, trained)
        return network, trained

    def _base(self, work: _Work, store: WeightStore) -> Trained:
        name = self._name(work.candidate.base_digest)
        if kept := store.get(name):
            work.network.set_weights(kept.weights)
            return kept
        trained = work.trained()
        store.put(name, trained)
        return trained

    def _name(self, stage: str) -> str:
        """Name a stage's weights by all that they depend on; the metric says which epoch was the best."""
        setting = self._setting
        metric = f"{setting.metric} ({setting.metric_direction})"
        versions = f"{RECIPE}/{keras().__version__}"
        return digest(
            stage, setting.data_digest, self._index, setting.seed, setting.class_weights, metric, versions
        )

    def _refuse_lost_columns(self, data: bytes) -> None:
        if lost := lost_columns(data, self.normaliser.apply(self.calibration)):
            columns = self._setting.problem.input_shape[-1]
            raise Mismatch(
                f"input quantization leaves {lost} of {columns} columns constant; "
                "a precision other than int8 keeps them"
            )


def _settled(trained: Trained, candidate: Candidate, metric: Metric) -> float:
    """Return the float network's validation value at the kept weights: pruning's last, or the best."""
    values = [point.valid for point in trained.curve]
    if candidate.compression.sparsity:
        return values[-1]
    return max(values) if metric.direction == "maximize" else min(values)
