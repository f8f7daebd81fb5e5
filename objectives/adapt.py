"""From an untrained network to an adapted one, a stage at a time: trained, slimmed, pruned, clustered, aware.

Each stage is a step from the network before it, and is kept by the digest of all that it depends on
(see `Candidate.stages`), so that what has a stage in common with an earlier candidate starts from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from objectives.average import worth_a_look
from objectives.aware import aware, layer_names, low_bit_layers
from objectives.cluster import tie
from objectives.graphs import predict, scoring_graph
from objectives.prune import prune
from objectives.slim import transfer
from objectives.train import (
    FINE_TUNING_SHARE,
    Phase,
    Task,
    Trainer,
    fine_tuning_epochs,
    train,
)
from objectives.weights import Trained

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import tf_keras

    from objectives.outcome import Epoch
    from objectives.stopping import Watch
    from objectives.weights import WeightStore
    from spaces.candidate import Candidate, Lever

# Lower than the training's own: what is tied or rounded has to settle, not to be learnt anew.
GENTLE = 0.3
RANKED_SAMPLES = 64
SLIMMING_SHARE = 0.6
"""Of the training's epochs. What left the network has to be made up for, which takes longer than to settle.

A convnet on 12,000 images of Fashion-MNIST, half its filters: .857 after .3 of 6 epochs, .874 after .6, where
the narrow network from scratch has .809 and .856 after as many epochs.
"""


@dataclass(frozen=True)
class Network:
    """A network at one stage: the Keras model with its weights, and how it came by them."""

    stage: Candidate
    model: tf_keras.Model
    trained: Trained


class Adapter:
    """Makes the networks of one candidate on one fold.

    `build` returns the network of a stage as it is before anything was learnt here; with `trained` its
    weights are somebody's result already. `clock` adds up the seconds of each lever. `watch` may end the
    training, or what follows it, by raising Hopeless.
    """

    def __init__(
        self,
        build: Callable[[Candidate], tf_keras.Model],
        task: Task,
        clock: Callable[[str], AbstractContextManager[None]],
        *,
        trained: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self._build, self._task, self._clock, self._is_trained = build, task, clock, trained
        self.watch = watch
        self._trainer: Trainer | None = None

    def look(self, trained: Trained, done: int, left_s: float) -> None:
        """Let the watch judge a network of whose levers `done` are done; the rest takes `left_s`."""
        if self.watch is not None and worth_a_look(left_s):
            self.watch.between(trained.value, done, trained.curve[-1].epoch if trained.curve else 1)

    def model(self, stage: Candidate, low_bit: tuple[str, ...] = ()) -> tf_keras.Model:
        """Return the network of a stage with weights as they come."""
        model = self._build(stage)
        return aware(model, low_bit) if stage.compression.quantization == "aware" else model

    def blank(self, stage: Candidate) -> tf_keras.Model:
        """Return the untrained network of a stage, all its layers at 4 bits if any are."""
        model = self._build(stage)
        if stage.compression.quantization != "aware":
            return model
        return aware(model, layer_names(model) if stage.compression.precision == "int4" else ())

    def restored(self, stage: Candidate, kept: Trained) -> Network:
        """Return the network of a stage with weights that were kept."""
        model = self.model(stage, kept.low_bit)
        model.set_weights(kept.weights)
        return Network(stage, model, kept)

    def base(self, stage: Candidate) -> Network:
        """Train from scratch, unless the weights are there already. Raises Diverged."""
        model = self.model(stage)
        if self._is_trained:
            return Network(stage, model, Trained(model.get_weights(), (), self._value(model)))
        with self._clock("train"):
            trainer = self._trainer = Trainer(model, stage.training, self._task)
            curve = train(trainer, self.watch)
        return Network(stage, model, Trained(model.get_weights(), curve, self._best(curve)))

    def epoch_s(self, stage: Candidate) -> float:
        """Return how many seconds an epoch of the training takes, once it is traced. Raises Diverged."""
        trainer = Trainer(self.model(stage), stage.training, self._task)
        once = Phase(1, stage.training.learning_rate)
        trainer.run(once)
        start = time.perf_counter()
        trainer.run(once)
        return time.perf_counter() - start

    def next(self, before: Network, stage: Candidate) -> Network:
        """Return the network of the stage after `before`. Raises Diverged."""
        lever = stage.compression.levers[-1]
        with self._clock(lever):
            return _STEPS[lever](self, before, stage)

    def slim(self, before: Network, stage: Candidate) -> Network:
        """Keep the filters that matter most, and learn from there."""
        model = self.model(stage)
        transfer(before.model, model, stage)
        trainer = self._trainer = Trainer(model, stage.training, self._task)
        return self._tuned(before, stage, trainer, rate=1.0, share=SLIMMING_SHARE)

    def prune(self, before: Network, stage: Candidate) -> Network:
        """Bring weights to zero while it learns; the last epoch counts, for earlier ones are not sparse."""
        trainer = self._trainer
        if trainer is None or trainer.network is not before.model:
            trainer = Trainer(before.model, stage.training, self._task)
        curve = prune(trainer, stage.compression.sparsity)
        return self._after(before, stage, trainer.network, curve, curve[-1].valid)

    def cluster(self, before: Network, stage: Candidate) -> Network:
        """Tie weights together, and let the clusters settle."""
        ties = tie(before.model, stage.compression.clusters)
        trainer = Trainer(before.model, stage.training, self._task, ties)
        return self._tuned(before, stage, trainer, rate=GENTLE)

    def aware(self, before: Network, stage: Candidate) -> Network:
        """Learn with the rounding of the file; zeros and clusters stay."""
        compression, task = stage.compression, self._task
        samples = task.inlet(task.train.x[:RANKED_SAMPLES])
        low_bit = low_bit_layers(before.model, compression, samples)
        model = aware(before.model, low_bit)
        ties = tie(model, compression.clusters) if compression.clusters else ()
        trainer = Trainer(model, stage.training, task, ties)
        tuned = self._tuned(before, stage, trainer, rate=GENTLE)
        return replace(tuned, trained=replace(tuned.trained, low_bit=low_bit))

    def _tuned(
        self,
        before: Network,
        stage: Candidate,
        trainer: Trainer,
        rate: float,
        share: float = FINE_TUNING_SHARE,
    ) -> Network:
        """Fine-tune, and keep the best epoch."""
        if stage.compression.sparsity:
            trainer.keep_zeros()
        epochs = fine_tuning_epochs(stage.training, share)
        curve = trainer.run(Phase(epochs, stage.training.learning_rate * rate))
        return self._after(before, stage, trainer.network, curve, self._best(curve))

    def _after(
        self,
        before: Network,
        stage: Candidate,
        model: tf_keras.Model,
        curve: tuple[Epoch, ...],
        value: float,
    ) -> Network:
        last = before.trained.curve[-1].epoch if before.trained.curve else 0
        shifted = tuple(point.model_copy(update={"epoch": point.epoch + last}) for point in curve)
        return Network(stage, model, Trained(model.get_weights(), (*before.trained.curve, *shifted), value))

    def _value(self, model: tf_keras.Model) -> float:
        valid = self._task.valid
        return self._task.metric(valid.y, predict(scoring_graph(model, self._task.inlet), valid.x))

    def _best(self, curve: tuple[Epoch, ...]) -> float:
        values = [point.valid for point in curve]
        return max(values) if self._task.metric.direction == "maximize" else min(values)


def adapted(
    adapter: Adapter, candidate: Candidate, store: WeightStore, name: Callable[[Candidate], str]
) -> Network:
    """Return the adapted network: from the newest stage that was kept on, and every stage made is kept.

    `name` says under which digest a stage's weights are kept. Raises Diverged, and Hopeless where the
    adapter's watch does.
    """
    stages, network, done = candidate.stages, None, 0
    for count in range(len(stages), 0, -1):
        if kept := store.get(name(stages[count - 1])):
            network, done = adapter.restored(stages[count - 1], kept), count
            break
    for count, stage in enumerate(stages[done:], start=done):
        if network is not None:
            left_s = tuning_s(candidate, count - 1, store.seconds(name(stages[0])))
            adapter.look(network.trained, count - 1, left_s)
        start = time.perf_counter()
        network = adapter.base(stage) if network is None else adapter.next(network, stage)
        store.put(name(stage), replace(network.trained, seconds=time.perf_counter() - start))
    assert network is not None  # there is always a base
    return network


def tuning_s(candidate: Candidate, done: int, training_s: float | None) -> float:
    """Return what the levers take of which the first `done` are done, by the epochs of the training.

    `training_s` is what that took, 0 or None where nobody knows.
    """
    shares = (
        SLIMMING_SHARE if lever == "slim" else FINE_TUNING_SHARE
        for lever in candidate.compression.levers[done:]
    )
    epochs = sum(fine_tuning_epochs(candidate.training, share) for share in shares)
    return (training_s or 0.0) * epochs / candidate.training.epochs


_STEPS: dict[Lever, Callable[[Adapter, Network, Candidate], Network]] = {
    "slim": Adapter.slim,
    "prune": Adapter.prune,
    "cluster": Adapter.cluster,
    "aware": Adapter.aware,
}
