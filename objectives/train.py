"""Training: a whole epoch is one graph over data held in memory, or over chunks that fit it.

The recipe makes few epochs count: a short linear warm-up, the full rate for six tenths of them, then a
straight line to zero (Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
durations"), He initialisation, and BatchNorm statistics that keep up (see `build.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.average import Looks
from objectives.build import prunable
from objectives.errors import ObjectiveError
from objectives.graphs import optimizer_of, predict, scoring_graph, steps_graph
from objectives.outcome import Epoch
from objectives.tensorflow import tensorflow

if TYPE_CHECKING:
    import tf_keras

    from objectives.inlet import Inlet
    from objectives.metrics import Metric
    from spaces.candidate import Training

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK_BYTES = 512 * 1024**2
FINE_TUNING_SHARE = 0.3
HELD = 0.6
"""The share of a training after which its rate begins to fall.

Small networks hardly arrive in so few epochs, and a cosine (Loshchilov & Hutter 2016) halves the way that
they come. Random networks of the spaces, validation data, the mean logarithm of the ratio of errors to those
of a cosine: digits, 30 networks, 8 epochs -.172 (.5), -.168 (.6), -.162 (.7), 20 epochs -.133 (.5), -.171
(.7); 19 of under 20,000 weights on the series of `benchmarks/waves.py`, 8 epochs -.097 (.5), -.145 (.6),
-.137 (.7). At .6 25 of 30 were better and 5 worse on digits, 16 and 2 on the series.
"""


class Diverged(ObjectiveError):
    """The loss or the scores are no longer finite."""


@dataclass(frozen=True)
class Samples:
    """Raw samples, (n, *input_shape), perhaps memory-mapped, and class codes, (n,)."""

    x: Array
    y: Array

    @property
    def example(self) -> tuple[Array, Array]:
        """One sample and its label, as the graphs take them."""
        return self.x[:1], np.asarray(self.y[:1], np.int32)

    def chunks(self) -> Iterator[tuple[Array, Array]]:
        """Yield pieces of at most CHUNK_BYTES; rows are in random order already (see the store).

        They are of nearly equal length, for the smallest bounds the batch.
        """
        rows = max(1, CHUNK_BYTES // max(1, self.x[:1].nbytes))
        pieces = -(-len(self.x) // rows)
        for i in range(pieces):
            part = slice(i * len(self.x) // pieces, (i + 1) * len(self.x) // pieces)
            yield self.x[part], self.y[part]


@dataclass(frozen=True)
class Task:
    """What stays the same over the trainings of one network.

    `probabilities` says that its outputs went through a softmax already.
    """

    train: Samples
    valid: Samples
    inlet: Inlet
    metric: Metric
    class_weights: tuple[float, ...] | None
    seed: int
    probabilities: bool = False


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser: how long, how fast, and what happens on the way.

    The best epoch's weights are the result, unless `best` is false. Nothing ends it early for want of better
    epochs: they come when the rate falls. `renew` is called with the step before every `every`-th one,
    `watch` with each point of the learning curve: what it raises ends the training.
    """

    epochs: int
    learning_rate: float
    best: bool = True
    every: int | None = None
    renew: Callable[[int], None] | None = None
    watch: Callable[[Epoch], None] | None = None


class Trainer:
    """The graphs of one network on one task: traced once, used by every phase of its training.

    `masks` pairs each prunable kernel with a variable of its shape that it is multiplied with after
    every step: ones, until pruning puts zeros there. `ties` pairs kernels with the cluster of each of
    their weights, (weights,) int32; after every step a cluster's weights get their mean.
    """

    def __init__(
        self,
        network: tf_keras.Model,
        training: Training,
        task: Task,
        ties: Sequence[tuple[Any, Array]] = (),
    ) -> None:
        tf = tensorflow()
        self.network, self.training, self.task, self.ties = network, training, task, tuple(ties)
        self.masks = [
            (kernel, tf.Variable(tf.ones_like(kernel), trainable=False)) for kernel in prunable(network)
        ]
        self._chunks = _Chunks(task.train)
        self.batch = min(training.batch_size, self._chunks.smallest)
        self._optimizer = optimizer_of(training.optimizer, network)
        self._steps = steps_graph(self, self._optimizer)
        self._scores = scoring_graph(network, task.inlet)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has; what does not fill one waits for another epoch's order."""
        return sum(rows // self.batch for rows in self._chunks.sizes)

    def keep_zeros(self) -> None:
        """Let what is zero now in prunable kernels stay so from here on."""
        for kernel, mask in self.masks:
            mask.assign(tensorflow().cast(kernel != 0, kernel.dtype))

    def run(self, phase: Phase) -> tuple[Epoch, ...]:
        """Train in place and return the learning curve.

        Raises Diverged where the loss or the scores are no longer finite.
        """
        for state in self._optimizer.variables():
            state.assign(tensorflow().zeros_like(state))
        # Anew, so that a phase is the same whether another went before it or its weights were kept.
        self._order = np.random.default_rng(self.task.seed)
        rates = learning_rates(phase.learning_rate, self.steps_per_epoch * phase.epochs)
        best = _Best(self.network, self.task.metric)
        looks = Looks(self.network, self.steps_per_epoch, phase.epochs) if phase.watch else None
        curve: list[Epoch] = []
        for number in range(1, phase.epochs + 1):
            start = time.perf_counter()
            loss = self._epoch(_averaging(phase, looks, number), rates, (number - 1) * self.steps_per_epoch)
            point = Epoch(epoch=number, loss=_finite(loss, number), valid=self._valid())
            if phase.watch is not None and looks is not None:
                looks.took(number, time.perf_counter() - start)
                point = point.model_copy(update={"averaged": self._averaged(looks, number)})
                phase.watch(point)
            curve.append(point)
            if phase.best:
                best.note(point)
        if phase.best:
            best.restore()
        return tuple(curve)

    def _averaged(self, looks: Looks, epoch: int) -> float | None:
        """Return the metric of the averaged weights where they are looked at after this epoch."""
        if not looks.due(epoch):
            return None
        looks.average.take_in()
        with looks.average.in_place():
            return self._valid()

    def _epoch(self, phase: Phase, rates: Array, step: int) -> float:
        losses = []
        for index in self._order.permutation(len(self._chunks.sizes)):
            x, y = self._chunks.load(int(index))
            steps = self._chunks.sizes[index] // self.batch
            order = self._order.permutation(self._chunks.sizes[index]).astype(np.int32)
            for start, stop in _slices(step, steps, phase.every):
                if phase.renew is not None:
                    phase.renew(step + start)
                rows = order[start * self.batch : stop * self.batch]
                losses.append(
                    float(self._steps(x, y, rows, rates[step + start : step + stop])) * (stop - start)
                )
            step += steps
        return sum(losses) / self.steps_per_epoch

    def _valid(self) -> float:
        scores = predict(self._scores, self.task.valid.x)
        if not np.isfinite(scores).all():
            raise Diverged(
                "the network's scores are no longer finite (NaN or overflow); a smaller learning rate helps"
            )
        return self.task.metric(self.task.valid.y, scores)


def _averaging(phase: Phase, looks: Looks | None, epoch: int) -> Phase:
    """Return a phase as one of its epochs is run: with the weights taken in on the way, where they count."""
    if looks is None or not looks.counts(epoch):
        return phase
    return replace(phase, every=looks.every, renew=lambda _: looks.average.take_in())


def train(trainer: Trainer, watch: Callable[[Epoch], None] | None = None) -> tuple[Epoch, ...]:
    """Run the training that the candidate asks for; the best weights on validation are kept."""
    training = trainer.training
    return trainer.run(Phase(training.epochs, training.learning_rate, watch=watch))


def fine_tuning_epochs(training: Training, share: float = FINE_TUNING_SHARE) -> int:
    """Return how long a lever fine-tunes: a share of the training's epochs, at least 2."""
    return max(2, math.ceil(training.epochs * share))


def learning_rates(peak: float, steps: int) -> Array:
    """Return the rate of each step, (steps,) float32: a linear warm-up, the peak, a linear way to zero.

    The warm-up takes a tenth of the steps, at most 100.
    """
    warm_up = max(1, min(steps // 10, 100))
    step = np.arange(steps)
    rising, falling = (step + 1) / (warm_up + 1), (steps - step) / (steps - int(HELD * steps))
    return np.asarray(peak * np.minimum(1.0, np.minimum(rising, falling)), np.float32)


def _slices(step: int, steps: int, every: int | None) -> Iterator[tuple[int, int]]:
    """Cut a run of steps, the first of which is the `step`-th of all, before every `every`-th step."""
    first = steps if every is None else min(steps, every - step % every)
    cuts = [0, *range(first, steps, every or steps), steps]
    yield from pairwise(cuts)


class _Best:
    """Keeps the weights of the best epoch; of equals the latest, for the schedule has settled more."""

    def __init__(self, network: tf_keras.Model, metric: Metric) -> None:
        self._network, self._sign = network, 1 if metric.direction == "maximize" else -1
        self._value, self._weights = -math.inf, network.get_weights()

    def note(self, point: Epoch) -> None:
        """Take note of an epoch that ended."""
        if self._sign * point.valid >= self._value:
            self._value, self._weights = self._sign * point.valid, self._network.get_weights()

    def restore(self) -> None:
        """Put the kept weights back."""
        self._network.set_weights(self._weights)


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


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise Diverged(f"the loss became {loss} in epoch {epoch}; a smaller learning rate helps")
    return loss


def balanced_weights(y: Array, classes: int) -> tuple[float, ...]:
    """Return a weight per class, inversely proportional to its share, with mean 1 over the samples."""
    counts = np.bincount(y, minlength=classes)
    return tuple(float(len(y) / (classes * max(1, count))) for count in counts)
