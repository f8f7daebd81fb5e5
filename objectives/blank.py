"""The blank: a network as it is before training, made so that it weighs and runs like the trained one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tf_keras


def randomise(network: tf_keras.Model, seed: int) -> tf_keras.Model:
    """Give every bias and BatchNorm statistic a random value, in place, and return the network.

    Equal zero biases would be merged by the converter, and the file would be smaller than a trained
    one. Variances stay positive; values are of the order that training gives.
    """
    generator = np.random.default_rng(seed)
    values = []
    for variable, value in zip(network.weights, network.get_weights(), strict=True):
        spread = 0.0 if "kernel" in variable.name else 0.1
        values.append(value + np.abs(generator.normal(0, spread, value.shape)).astype(value.dtype))
    network.set_weights(values)
    return network
