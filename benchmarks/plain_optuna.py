"""The baseline: the script that somebody who knows Optuna and Keras would write today.

One file, top to bottom: Optuna's default multi-objective sampler, `model.fit` with early stopping,
TFMOT pruning with its callback (for as many epochs as edgesearch takes), `from_keras_model`,
accuracy by looping over an interpreter, latency by timing 100 runs of it, size by `len`. TensorFlow may
use every core. What is written where it matters is what helps the script: in-memory storage, warm
interpreters, a pruning frequency short enough for short trainings, no record but a line of JSON a
trial. Everything else is as the libraries' guides show it.

The space is that of `spaces/convnet.py`, written out by hand. Only the split of the data is edgesearch's
own, so that both sides train, validate and test on the same samples.

    python benchmarks/plain_optuna.py --data digits --epochs 20 --seconds 120 --out plain/trials.jsonl

Writes a line for the start and a line for each trial, and each trial's `.tflite` beside them.
"""

import time

STARTED = time.monotonic()

import argparse  # noqa: E402 - the clock of the start-up runs already
import json  # noqa: E402
import os  # noqa: E402
from math import ceil  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFMOT needs it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np  # noqa: E402
import optuna  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras as keras  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

from objectives.datasets.prepare import prepare  # noqa: E402
from objectives.datasets.spec import DataSpec  # noqa: E402
from objectives.datasets.store import open_data  # noqa: E402

layers = keras.layers
CALIBRATION_SAMPLES = 200
WARM_UP_RUNS, TIMED_RUNS = 10, 100


class Data(NamedTuple):
    """Images as float32 in [0, 1], (samples, height, width, channels), and labels, (samples,)."""

    x_train: Any
    y_train: Any
    x_valid: Any
    y_valid: Any
    classes: int
    divisor: float


def load_data(name: str, subset: int | None, root: Path) -> Data:
    """Read the split that edgesearch uses too; pixels are divided by the largest one of train."""
    summary = prepare(DataSpec(source=name, subset=subset), root)
    data = open_data(root, summary.digest)
    fold = data.folds[0]
    divisor = float(data.x_dev[fold.train].max())
    x = data.x_dev.astype(np.float32) / divisor
    return Data(
        x[fold.train],
        data.y_dev[fold.train],
        x[fold.valid],
        data.y_dev[fold.valid],
        len(summary.classes),
        divisor,
    )


class Network:
    """Builds the network of a trial from what the trial suggests."""

    def __init__(self, trial: optuna.Trial, batch_norm_momentum: float) -> None:
        self.trial, self.momentum = trial, batch_norm_momentum
        self.dropout = trial.suggest_float("dropout", 0.0, 0.4, step=0.1)
        self.penalty = keras.regularizers.L1L2(
            l1=trial.suggest_float("l1", 1e-7, 1e-3, log=True),
            l2=trial.suggest_float("l2", 1e-7, 1e-3, log=True),
        )

    def norm(self, x: Any, activation: str | None) -> Any:
        """Add BatchNorm, and an activation if one is named."""
        x = layers.BatchNormalization(momentum=self.momentum)(x)
        return layers.Activation(activation)(x) if activation else x

    def conv(self, x: Any, filters: int, kernel: int, stride: int, activation: str | None = "relu") -> Any:
        """Add a convolution with BatchNorm."""
        x = layers.Conv2D(
            filters, kernel, strides=stride, padding="same", use_bias=False, kernel_regularizer=self.penalty
        )(x)
        return self.norm(x, activation)

    def separable(self, x: Any, filters: int, kernel: int, stride: int) -> Any:
        """Add a depthwise and a pointwise convolution."""
        x = layers.DepthwiseConv2D(
            kernel, strides=stride, padding="same", use_bias=False, depthwise_regularizer=self.penalty
        )(x)
        return self.conv(self.norm(x, "relu6"), filters, 1, 1, "relu6")

    def residual(self, x: Any, filters: int, kernel: int, stride: int) -> Any:
        """Add two convolutions beside a shortcut."""
        branch = self.conv(x, filters, kernel, stride)
        branch = self.conv(branch, filters, kernel, 1, None)
        if x.shape[-1] != filters or stride != 1:
            x = self.conv(x, filters, 1, stride, None)
        return layers.Activation("relu")(layers.Add()([x, branch]))

    def block(self, x: Any, i: int) -> Any:
        """Add the block that the trial suggests at this place."""
        suggest = self.trial.suggest_int
        kinds = ("conv", "depthwise-separable", "residual")
        kind = self.trial.suggest_categorical(f"block_{i}", kinds) if i else "conv"
        filters = suggest(f"filters_{i}", 4, 64, log=True)
        kernel = suggest(f"kernel_{i}", 3, 5, step=2)
        stride = suggest(f"stride_{i}", 1, 2) if max(x.shape[1:3]) >= 4 else 1
        make = {"conv": self.conv, "depthwise-separable": self.separable, "residual": self.residual}[kind]
        return make(x, filters, kernel, stride)

    def dense(self, x: Any, units: int, activation: str | None) -> Any:
        """Add a fully connected layer, with dropout before it."""
        if self.dropout:
            x = layers.Dropout(self.dropout)(x)
        return layers.Dense(units, activation=activation, kernel_regularizer=self.penalty)(x)

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        """Return the network: images in, logits out."""
        inputs = x = keras.Input(input_shape)
        for i in range(self.trial.suggest_int("blocks", 1, 4)):
            x = self.block(x, i)
        head = self.trial.suggest_categorical("head", ("global-pool", "flatten"))
        x = layers.GlobalAveragePooling2D()(x) if head == "global-pool" else layers.Flatten()(x)
        if self.trial.suggest_int("dense", 0, 1):
            x = self.dense(x, self.trial.suggest_int("units_0", 8, 64, log=True), "relu")
        return keras.Model(inputs, self.dense(x, classes, None))


def compiled(model: Any, optimizer: str, learning_rate: float) -> Any:
    """Compile with a fresh optimiser."""
    optimizers = keras.optimizers
    made = {
        "adam": optimizers.Adam,
        "sgd": lambda rate: optimizers.SGD(rate, momentum=0.9),
        "rmsprop": optimizers.RMSprop,
    }[optimizer](learning_rate)
    model.compile(made, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def train(model: Any, data: Data, batch_size: int, epochs: int) -> None:
    """Fit, with early stopping on validation data and the best weights kept."""
    stopping = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=max(5, epochs // 2), restore_best_weights=True
    )
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(data.x_valid, data.y_valid),
        callbacks=[stopping],
        verbose=0,
    )


def fine_tune(model: Any, data: Data, batch_size: int, epochs: int) -> None:
    """Fit a model that is wrapped for pruning; an earlier epoch is no result, for it is less sparse."""
    step = tfmot.sparsity.keras.UpdatePruningStep()
    model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=epochs, callbacks=[step], verbose=0)


def prune(model: Any, data: Data, sparsity: float, batch_size: int, epochs: int) -> tuple[Any, int]:
    """Wrap for magnitude pruning, as TFMOT's guide does; return the model and the epochs to fine-tune."""
    tuning_epochs = max(2, ceil(0.3 * epochs))
    steps = tuning_epochs * ceil(len(data.x_train) / batch_size)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=0,
        end_step=steps // 2,
        frequency=max(1, steps // 40),
    )
    return tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule), tuning_epochs


def convert(model: Any, precision: str, x_train: Any) -> bytes:
    """Convert to a `.tflite` with float input and output."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([x[None]] for x in x_train[:CALIBRATION_SAMPLES])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def judge(tflite: bytes, data: Data) -> tuple[float, float]:
    """Return accuracy on the validation samples, and the median latency of one of them in ms."""
    interpreter = Interpreter(model_content=tflite)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    correct = 0
    for x, y in zip(data.x_valid, data.y_valid, strict=True):
        interpreter.set_tensor(source, x[None])
        interpreter.invoke()
        correct += int(interpreter.get_tensor(result)[0].argmax() == y)
    seconds = []
    for _ in range(WARM_UP_RUNS + TIMED_RUNS):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    return correct / len(data.y_valid), 1e3 * float(np.median(seconds[WARM_UP_RUNS:]))


class Objective:
    """One trial, start to end: accuracy, latency in ms, bytes."""

    def __init__(self, data: Data, epochs: int, batch_norm_momentum: float, folder: Path) -> None:
        self.data, self.epochs, self.momentum, self.folder = data, epochs, batch_norm_momentum, folder

    def __call__(self, trial: optuna.Trial) -> tuple[float, float, int]:
        """Return the three values, and keep the file; what a trial failed with is kept beside it."""
        try:
            return self.measured(trial)
        except Exception as error:
            trial.set_user_attr("error", " ".join(f"{type(error).__name__}: {error}".split())[:300])
            raise

    def measured(self, trial: optuna.Trial) -> tuple[float, float, int]:
        """Train, convert and measure what the trial suggests."""
        keras.backend.clear_session()
        model = self.trained(trial)
        precision = trial.suggest_categorical("precision", ("float32", "float16", "dynamic-int8", "int8"))
        tflite = convert(model, precision, self.data.x_train)
        (self.folder / f"{trial.number}.tflite").write_bytes(tflite)
        accuracy, latency_ms = judge(tflite, self.data)
        return accuracy, latency_ms, len(tflite)

    def trained(self, trial: optuna.Trial) -> Any:
        """Return the trained network of a trial, pruned if it says so."""
        data = self.data
        model = Network(trial, self.momentum).build(data.x_train.shape[1:], data.classes)
        optimizer = trial.suggest_categorical("optimizer", ("adam", "sgd", "rmsprop"))
        if optimizer == "sgd":
            learning_rate = trial.suggest_float("sgd_learning_rate", 1e-2, 3e-1, log=True)
        else:
            learning_rate = trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True)
        batch_size = trial.suggest_categorical("batch_size", (32, 64, 128))
        train(compiled(model, optimizer, learning_rate), data, batch_size, self.epochs)
        sparsity = trial.suggest_float("sparsity", 0.0, 0.8, step=0.1)
        if not sparsity:
            return model
        wrapped, epochs = prune(model, data, sparsity, batch_size, self.epochs)
        fine_tune(compiled(wrapped, optimizer, learning_rate), data, batch_size, epochs)
        return tfmot.sparsity.keras.strip_pruning(wrapped)


def write(file: Any, record: dict[str, Any]) -> None:
    """Write a line now, so that nothing is lost if this process ends."""
    file.write(json.dumps(record) + "\n")
    file.flush()


def line_of(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Return what is written of a trial; `seconds` count from the first ask to the end of the trial."""
    first = min(t.datetime_start for t in study.get_trials(deepcopy=False) if t.datetime_start)
    assert trial.datetime_complete is not None
    done = trial.state == optuna.trial.TrialState.COMPLETE
    values = dict(zip(("accuracy", "latency_ms", "model_bytes"), trial.values, strict=True)) if done else None
    return {
        "trial": trial.number,
        "seconds": (trial.datetime_complete - first).total_seconds(),
        "values": values,
        "params": trial.params,
        "model": f"{trial.number}.tflite",
        "error": trial.user_attrs.get("error"),
    }


def main() -> None:
    """Run the study for the time that is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=("digits", "fashion-mnist"), default="digits")
    parser.add_argument("--subset", type=int, help="use so many samples of the training data")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="ask for nothing new after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--batch-norm-momentum", type=float, default=0.99, help="of BatchNormalization (Keras's: 0.99)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")
    options = parser.parse_args()

    folder = options.out.parent
    folder.mkdir(parents=True, exist_ok=True)
    data = load_data(options.data, options.subset, folder / "data")
    keras.utils.set_random_seed(options.seed)
    study = optuna.create_study(
        directions=["maximize", "minimize", "minimize"], sampler=optuna.samplers.TPESampler(seed=options.seed)
    )
    startup_s = time.monotonic() - STARTED
    print(f"start-up {startup_s:.1f} s", flush=True)
    objective = Objective(data, options.epochs, options.batch_norm_momentum, folder)
    with options.out.open("w", encoding="utf-8") as file:
        write(file, {"startup_s": startup_s, "divisor": data.divisor})
        study.optimize(
            objective,
            timeout=options.seconds,
            catch=(Exception,),  # a candidate that cannot be converted must not end the study
            callbacks=[lambda study, trial: write(file, line_of(study, trial))],
        )


if __name__ == "__main__":
    main()
