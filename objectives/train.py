"""Training: a whole epoch is one graph over data held in memory, or over chunks that fit it.

The recipe makes few epochs count: a short linear warm-up, then a cosine to zero (Loshchilov & Hutter
2016, one cycle), He initialisation, and BatchNorm statistics that keep up (see `build.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.build import kernels
from objectives.errors import ObjectiveError
from objectives.outcome import Epoch
from objectives.tensorflow import keras, tensorflow

if TYPE_CHECKING:
    import tf_keras

    from objectives.metrics import Metric
    from objectives.normalise import Normaliser
    from spaces.candidate import Training

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK_BYTES = 512 * 1024**2
SCORING_BATCH = 512


class Diverged(ObjectiveError):
    """The loss or the scores are no longer finite."""


@dataclass(frozen=True)
class Samples:
    """Raw samples, (n, *input_shape), perhaps memory-mapped, and class codes, (n,)."""

    x: Array
    y: Array

    def chunks(self) -> Iterator[tuple[Array, Array]]:
        """Yield pieces of at most CHUNK_BYTES; rows are in random order already (see the store)."""
        rows = max(1, CHUNK_BYTES // max(1, self.x[:1].nbytes))
        for start in range(0, len(self.x), rows):
            yield self.x[start : start + rows], self.y[start : start + rows]


@dataclass(frozen=True)
class Task:
    """What stays the same over the trainings of one network."""

    train: Samples
    valid: Samples
    normaliser: Normaliser
    metric: Metric
    class_weights: tuple[float, ...] | None
    seed: int


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser: how long, how fast, and whether an earlier epoch may be the result."""

    epochs: int
    learning_rate: float
    patience: int
    may_restore: bool = True


def train(network: tf_keras.Model, training: Training, task: Task, phase: Phase | None = None) -> tuple[Epoch, ...]:
    """Train in place and return the learning curve; the best weights on validation are kept.

    Raises Diverged where the loss or the scores are no longer finite.
    """
    phase = phase or Phase(training.epochs, training.learning_rate, patience=max(5, training.epochs // 2))
    loop = _Loop(network, training, task, phase)
    curve: list[Epoch] = []
    best = _Best(network, task.metric)
    for number in range(1, phase.epochs + 1):
        loss = loop.epoch()
        curve.append(Epoch(epoch=number, loss=_finite(loss, number), valid=loop.valid()))
        if phase.may_restore and best.note(curve[-1]) >= phase.patience:
            break
    if phase.may_restore:
        best.restore()
    return tuple(curve)


class _Best:
    """Keeps the weights of the best epoch; of equals the latest, for the schedule has settled more."""

    def __init__(self, network: tf_keras.Model, metric: Metric) -> None:
        self._network, self._sign = network, 1 if metric.direction == "maximize" else -1
        self._value, self._epoch, self._weights = -math.inf, 0, network.get_weights()

    def note(self, point: Epoch) -> int:
        """Take note of an epoch and return for how many epochs nothing was better."""
        if self._sign * point.valid >= self._value:
            self._value, self._epoch = self._sign * point.valid, point.epoch
            self._weights = self._network.get_weights()
        return point.epoch - self._epoch

    def restore(self) -> None:
        """Put the kept weights back."""
        self._network.set_weights(self._weights)


class _Loop:
    """The traced graphs of one training and its random order of samples."""

    def __init__(self, network: tf_keras.Model, training: Training, task: Task, phase: Phase) -> None:
        self._task = task
        self._order = np.random.default_rng(task.seed)
        self._chunks = _Chunks(task.train)
        batch = min(training.batch_size, self._chunks.smallest)
        steps = sum(rows // batch for rows in self._chunks.sizes) * phase.epochs
        optimizer = _optimizer(training.optimizer, phase.learning_rate, steps)
        self._epoch = _epoch_graph(network, optimizer, training, task, batch)
        self._network = network
        self._scores = scoring_graph(network, task.normaliser)

    def epoch(self) -> float:
        """Go once through the training data and return the mean loss."""
        tf = tensorflow()
        losses = []
        for index in self._order.permutation(len(self._chunks.sizes)):
            x, y = self._chunks.load(int(index))
            order = self._order.permutation(self._chunks.sizes[index]).astype(np.int32)
            losses.append(float(self._epoch(x, y, tf.constant(order))))
        return float(np.mean(losses))

    def valid(self) -> float:
        """Return the metric on the validation data."""
        scores = predict(self._scores, self._task.valid.x)
        if not np.isfinite(scores).all():
            raise Diverged("the network's scores are no longer finite (NaN or overflow); a smaller learning rate helps")
        return self._task.metric(self._task.valid.y, scores)


class _Chunks:
    """The training data as tensors: kept if there is one chunk, else loaded when its turn comes."""

    def __init__(self, samples: Samples) -> None:
        self._pieces = list(samples.chunks())
        self.sizes = [len(y) for _, y in self._pieces]
        self.smallest = min(self.sizes)
        self._kept = self._tensors(0) if len(self._pieces) == 1 else None

    def _tensors(self, index: int) -> tuple[Any, Any]:
        tf = tensorflow()
        x, y = self._pieces[index]
        return tf.constant(np.ascontiguousarray(x)), tf.constant(np.asarray(y, np.int32))

    def load(self, index: int) -> tuple[Any, Any]:
        """Return a chunk as tensors."""
        return self._kept or self._tensors(index)


def scoring_graph(network: tf_keras.Model, normaliser: Normaliser) -> Callable[[Array], Any]:
    """Return a graph from raw samples (n, *input_shape) to float scores (n, classes)."""
    tf = tensorflow()
    normal = _normalising(normaliser)
    shape = (None, *network.input_shape[1:])

    @tf.function(reduce_retracing=True)
    def scores(raw: Any) -> Any:
        return network(tf.ensure_shape(normal(raw), shape), training=False)

    return scores  # type: ignore[no-any-return]


def predict(scores: Callable[[Array], Any], x: Array) -> Array:
    """Run a scoring graph over samples in batches, so that memory-mapped data may be large."""
    parts = [scores(np.ascontiguousarray(x[i : i + SCORING_BATCH])) for i in range(0, len(x), SCORING_BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise Diverged(f"the loss became {loss} in epoch {epoch}; a smaller learning rate helps")
    return loss


def _normalising(normaliser: Normaliser) -> Callable[[Any], Any]:
    tf = tensorflow()
    offset, scale = np.asarray(normaliser.offset, np.float32), np.asarray(normaliser.scale, np.float32)
    clip = normaliser.clip

    def normal(raw: Any) -> Any:
        z = (tf.cast(raw, tf.float32) - offset) * scale
        return z if clip is None else tf.clip_by_value(z, -clip, clip)

    return normal


def _optimizer(name: str, learning_rate: float, steps: int) -> tf_keras.optimizers.Optimizer:
    optimizers = keras().optimizers
    warm_up = max(1, min(steps // 10, 100))
    schedule = optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm_up), warmup_target=learning_rate, warmup_steps=warm_up
    )
    match name:
        case "sgd":
            return optimizers.SGD(schedule, momentum=0.9, nesterov=True)
        case "rmsprop":
            return optimizers.RMSprop(schedule)
        case _:
            return optimizers.Adam(schedule)


def _epoch_graph(
    network: tf_keras.Model,
    optimizer: tf_keras.optimizers.Optimizer,
    training: Training,
    task: Task,
    batch: int,
) -> Callable[[Any, Any, Any], Any]:
    tf = tensorflow()
    normal, variables = _normalising(task.normaliser), network.trainable_variables
    loss_of = _loss(network, training, task.class_weights)
    shape = (batch, *network.input_shape[1:])
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def epoch(x: Any, y: Any, order: Any) -> Any:
        total, steps = tf.constant(0.0), tf.size(order) // batch
        for i in tf.range(steps):
            rows = order[i * batch : (i + 1) * batch]
            samples = tf.ensure_shape(normal(tf.gather(x, rows)), shape)
            with tf.GradientTape() as tape:
                loss = loss_of(samples, tf.gather(y, rows))
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            total += loss
        return total / tf.cast(steps, tf.float32)

    return epoch  # type: ignore[no-any-return]


def _loss(
    network: tf_keras.Model, training: Training, class_weights: tuple[float, ...] | None
) -> Callable[[Any, Any], Any]:
    tf = tensorflow()
    penalised = list(kernels(network))

    def loss(samples: Any, labels: Any) -> Any:
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, network(samples, training=True))
        if class_weights is not None:
            each *= tf.gather(tf.constant(class_weights, tf.float32), labels)
        penalty = training.l1 * tf.add_n([tf.reduce_sum(tf.abs(k)) for k in penalised])
        penalty += training.l2 * tf.add_n([tf.reduce_sum(tf.square(k)) for k in penalised])
        return tf.reduce_mean(each) + penalty

    return loss


def balanced_weights(y: Array, classes: int) -> tuple[float, ...]:
    """Return a weight per class, inversely proportional to its share, with mean 1 over the samples."""
    counts = np.bincount(y, minlength=classes)
    return tuple(float(len(y) / (classes * max(1, count))) for count in counts)
