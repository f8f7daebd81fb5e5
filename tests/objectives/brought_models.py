"""Networks as users bring them, made with Keras 2 and Keras 3, and functions for a child process to run."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from objectives.brought import forms
from objectives.errors import Mismatch, ObjectiveError

CLASSES = 4


def keras_of(generation: int):
    """Return the module of Keras 2 (tf_keras) or 3."""
    from objectives.tensorflow import keras

    if generation == 2:
        return keras()
    keras()  # for its environment
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras as keras_3

    return keras_3


def dense(generation: int):
    """A Sequential network that ends in a softmax; every kernel is small, but the first one."""
    k = keras_of(generation)
    layers = [
        k.layers.Dense(64, activation="relu", kernel_regularizer=k.regularizers.L2(0.01)),
        k.layers.Dropout(0.1),
        k.layers.Dense(CLASSES, activation="softmax", name="scores"),
    ]
    return shaken(k.Sequential([k.Input((20,), name="columns"), *layers]))


def conv(generation: int):
    """Convolutions, a depthwise one too, with BatchNorm: a functional network that gives logits."""
    k = keras_of(generation)
    inputs = x = k.Input((8, 8, 2), name="image")
    for layer in (
        k.layers.Conv2D(16, 3, padding="same", use_bias=False),
        k.layers.BatchNormalization(momentum=0.9),
        k.layers.ReLU(max_value=6.0),
        k.layers.DepthwiseConv2D(3, strides=2, padding="same"),
        k.layers.BatchNormalization(epsilon=1e-2),
        k.layers.LeakyReLU(negative_slope=0.2) if generation == 3 else k.layers.LeakyReLU(alpha=0.2),
        k.layers.Conv2D(80, 1, activation="relu"),
        k.layers.GlobalAveragePooling2D(),
        k.layers.Dense(CLASSES, name="logits"),
    ):
        x = layer(x)
    return shaken(k.Model(inputs, x))


def residual(generation: int):
    """An addition, a concatenation, a layer that is called twice, and a network within the network."""
    k = keras_of(generation)
    inputs = k.Input((6, 6, 8), name="image")
    shared = k.layers.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    x = k.layers.Add()([inputs, shared(shared(inputs))])
    inner_inputs = k.Input((6, 6, 8))
    inner = k.Model(inner_inputs, k.layers.Conv2D(4, 1)(inner_inputs), name="inner")
    x = k.layers.Concatenate(axis=-1)([x, inner(x)])
    return shaken(k.Model(inputs, k.layers.Dense(CLASSES, name="logits")(k.layers.Flatten()(x))))


MAKERS = {"dense": dense, "conv": conv, "residual": residual}


def shaken(network):
    """Give every weight, the statistics of BatchNorm too, a value as training might: the same every time."""
    generator = np.random.default_rng(3)
    values = []
    for variable, value in zip(network.weights, network.get_weights(), strict=True):
        noise = generator.normal(0, 0.2, value.shape)
        start = 0 if value.ndim > 1 else value  # initial kernels are random
        values.append((start + (np.abs(noise) if "variance" in variable.name else noise)).astype(np.float32))
    network.set_weights(values)
    return network


def saved(network, path: Path) -> Path:
    """Save a network as a `.keras`, `.h5` or, without a suffix, as a SavedModel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras has opinions on the older formats
        if ".weights" in path.suffixes:
            network.save_weights(path)
        elif path.suffix:
            network.save(path)
        elif isinstance(network, keras_of(2).Model):
            network.save(path, save_format="tf")
        else:
            network.export(str(path), verbose=False)
    return path


def fed(network, count: int = 40):
    """Return random samples for a network."""
    shape = tuple(network.inputs[0].shape)[1:]
    return np.random.default_rng(7).normal(0, 1, (count, *shape)).astype(np.float32)


def outputs(network, samples):
    return np.asarray(network(samples, training=False))


def multiply(a, b):
    print("this is no result")
    return a * b


def crash(word: str, number: int):
    os.write(2, f"something harmless\n{word}\n\n".encode())
    os.kill(os.getpid(), number)


def hang(pids: str):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pids).write_text(f"{os.getpid()} {other.pid}")
    time.sleep(600)


def refuse(kind: str):
    raise {"mismatch": Mismatch, "objective": ObjectiveError}[kind]("the rule, the value and the way out")


def stumble():
    raise LookupError("\n  the first line that says something\nand a second one")


def leave(status: int):
    os.write(1, b"why it left\n")
    os._exit(status)


def no_result():
    return lambda: None


def segfault(**_):
    os.kill(os.getpid(), signal.SIGSEGV)


def form_and_modules(**arguments):
    """Make a form, and say which heavy modules that took."""
    return forms.form(**arguments), sorted({"tensorflow", "keras", "tf_keras"} & set(sys.modules))
