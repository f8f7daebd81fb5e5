"""The training recipe alone, against the plain one: accuracy after 1, 2, 4 and 8 epochs of the same networks.

    python -m benchmarks.recipe

Random networks of the spaces that ship are trained with the loop of `objectives/train.py`, and with that of
`plain_optuna.py`: Keras's `fit` and its defaults. Networks that are finished are kept in the work folder and
not run again.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.recipe_lines import Recipe, Trained, recipe_lines
from benchmarks.values import circumstances, load_average, numbers, save
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSpec
from objectives.datasets.store import Data, open_data
from objectives.metrics import load_metric
from spaces.candidate import Candidate, Problem
from spaces.catalog import DEFAULTS, load_space
from spaces.chooser import Choices, Pick, RandomChooser
from spaces.space import narrow

if TYPE_CHECKING:
    import tf_keras

    from objectives.train import Task

HERE = Path(__file__).parent
NETWORKS, EPOCHS, SEED = 20, (1, 2, 4, 8), 0
SOURCES: dict[str, DataSpec] = {
    "digits": DataSpec(source="digits"),
    "12,000 images of Fashion-MNIST": DataSpec(source="fashion-mnist", subset=12_000),
    "waves, a time series": DataSpec(source="benchmarks.waves:waves"),
}
LEFT_OUT = {"reduction": "none", "augmentation": "none"}
"""What a network is drawn without: neither recipe has it in this comparison."""
PLAIN_MOMENTUM = 0.99


@dataclass(frozen=True)
class Bench:
    """One data set, prepared and split as for a study, and the networks that are drawn for it."""

    name: str
    data: Data
    seed: int

    @classmethod
    def of(cls, name: str, seed: int, root: Path) -> Bench:
        """Prepare the data, unless that was done already."""
        return cls(name, open_data(root, prepare(SOURCES[name], root).digest), seed)

    @property
    def problem(self) -> Problem:
        """What the networks are for."""
        about = self.data.summary
        return Problem(kind=about.kind, input_shape=about.input_shape, classes=len(about.classes))

    def candidate(self, number: int) -> Candidate:
        """Draw a network and its training; the same for the same seed and number."""
        space = load_space(DEFAULTS[self.problem.kind])
        fixed = {name: Choices(options=(value,)) for name, value in LEFT_OUT.items()}
        chooser = RandomChooser(random.Random(f"{self.seed}/{number}"))  # noqa: S311 - a draw, no secret
        drawn = space.suggest(Pick(chooser, narrow(space.ranges(self.problem), fixed)), self.problem)
        return drawn.base

    @cached_property
    def task(self) -> Task:
        """The first fold of the data, as a trial has it."""
        from objectives.inlet import Inlet
        from objectives.normalise import Normaliser
        from objectives.train import Samples, Task

        data, fold = self.data, self.data.folds[0]
        train, valid = (Samples(data.x_dev[rows], data.y_dev[rows]) for rows in (fold.train, fold.valid))
        inlet = Inlet(Normaliser.fit(train.x, data.summary.kind))
        return Task(train, valid, inlet, load_metric("accuracy"), None, self.seed)

    def trained(self, number: int, epochs: Sequence[int]) -> Trained:
        """Train a network both ways."""
        from objectives.build import build

        candidate = self.candidate(number)
        network = build(candidate, self.problem, self.seed)
        return Trained(
            data=self.name,
            number=number,
            parameters=network.count_params(),
            epochs=tuple(epochs),
            recipe=tuple(self._after(candidate, count) for count in epochs),
            plain=self._plainly_after(plain_network(network, candidate), candidate, epochs),
        )

    def _after(self, candidate: Candidate, epochs: int) -> float:
        """Return the accuracy of the recipe: its schedule depends on the epochs, so each is a training."""
        from objectives.build import build
        from objectives.graphs import predict, scoring_graph
        from objectives.train import Diverged, Trainer, train

        training = candidate.training.model_copy(update={"epochs": epochs})
        network = build(candidate, self.problem, self.seed)
        try:
            train(Trainer(network, training, self.task))
        except Diverged:
            return self._guessed
        x, y = self.data.test()
        return self.task.metric(y, predict(scoring_graph(network, self.task.inlet), x))

    def _plainly_after(
        self, network: tf_keras.Model, candidate: Candidate, epochs: Sequence[int]
    ) -> tuple[float, ...]:
        """Return the accuracies of the plain recipe: its rate is constant, so one training has them all."""
        import tf_keras as keras

        from benchmarks.plain_optuna import compiled

        inlet, training, (x_test, y_test) = self.task.inlet, candidate.training, self.data.test()
        x_train, x_valid, x_test = (
            np.asarray(inlet(x)) for x in (self.task.train.x, self.task.valid.x, x_test)
        )
        seen: list[tuple[float, float]] = []

        def look(_epoch: int, logs: dict[str, float]) -> None:
            scores = network.predict(x_test, batch_size=512, verbose=0)
            seen.append((logs["val_accuracy"], self.task.metric(y_test, scores)))

        keras.utils.set_random_seed(self.seed)
        compiled(network, training.optimizer, training.learning_rate).fit(
            x_train,
            self.task.train.y,
            batch_size=training.batch_size,
            epochs=max(epochs),
            validation_data=(x_valid, self.task.valid.y),
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)],
            verbose=0,
        )
        return tuple(max(seen[:count], key=lambda point: point[0])[1] for count in epochs)

    @property
    def _guessed(self) -> float:
        """The accuracy of always saying the commonest class."""
        commonest = np.bincount(self.task.train.y).argmax()
        return float(np.mean(self.data.test()[1] == commonest))


def plain_network(network: tf_keras.Model, candidate: Candidate) -> tf_keras.Model:
    """Return the same network with Keras's defaults, its penalties where Keras has them."""
    from objectives.tensorflow import keras

    training = candidate.training
    penalty = keras().regularizers.serialize(keras().regularizers.L1L2(l1=training.l1, l2=training.l2))
    start = keras().initializers.serialize(keras().initializers.GlorotUniform())
    config: dict[str, Any] = network.get_config()
    for layer in config["layers"]:
        settings = layer["config"]
        kernel = "depthwise" if layer["class_name"] == "DepthwiseConv2D" else "kernel"
        if f"{kernel}_initializer" in settings:
            settings |= {f"{kernel}_initializer": start, f"{kernel}_regularizer": penalty}
        if layer["class_name"] == "BatchNormalization":
            settings["momentum"] = PLAIN_MOMENTUM
    return keras().Model.from_config(config)


@dataclass(frozen=True)
class Workshop:
    """The work folder, and what is finished in it."""

    root: Path
    seed: int

    def trained(self, data: str, count: int, epochs: Sequence[int]) -> tuple[Trained, ...]:
        """Return so many networks on one data set, trained unless they were before."""
        bench = Bench.of(data, self.seed, self.root / "data")
        return tuple(self._one(bench, number, epochs) for number in range(count))

    def _one(self, bench: Bench, number: int, epochs: Sequence[int]) -> Trained:
        case = f"{bench.data.summary.digest}-seed{self.seed}-{'-'.join(map(str, epochs))}epochs"
        path = self.root / case / f"{number}.json"
        if not path.is_file():
            print(f"{bench.name}: training network {number}", flush=True)
            save(path, bench.trained(number, epochs))
        return Trained.model_validate_json(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not kept yet, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", action="append", choices=tuple(SOURCES), help="repeatable (default: all)")
    parser.add_argument("--networks", type=int, default=NETWORKS, help="for each data set")
    parser.add_argument("--epochs", type=numbers, default=EPOCHS, metavar="1,2,4,8", help="ascending")
    parser.add_argument("--seed", type=int, default=SEED, help="of the draws and the trainings")
    parser.add_argument("--work", type=Path, default=HERE / "work" / "recipe", help="what is kept to resume")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "recipe.json")
    options = parser.parse_args(arguments)
    if options.networks < 1 or min(options.epochs) < 1 or list(options.epochs) != sorted(set(options.epochs)):
        parser.error("give 1 network or more, and numbers of epochs from 1 on that ascend")

    shop, load = Workshop(options.work.absolute(), options.seed), load_average()
    names = options.data or tuple(SOURCES)
    networks = tuple(n for name in names for n in shop.trained(name, options.networks, options.epochs))
    result = Recipe(circumstances=circumstances(), load=load, seed=options.seed, networks=networks)
    save(options.out, result)
    print("\n".join(recipe_lines(result)), flush=True)


if __name__ == "__main__":
    main()
