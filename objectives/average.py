"""A moving average of a network's weights while it is trained: what the training is on its way to.

While the rate of learning is high, weights jump about their goal; their average is near to what they settle
on once it has come down (Polyak & Juditsky 1992). Here it tells early what a training will end with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from objectives.tensorflow import tensorflow

if TYPE_CHECKING:
    import tf_keras

PER_EPOCH = 16
"""How often in an epoch the average takes the weights in: after every step would cost as much as the step."""
SHARE = 0.1
"""What the newest weights count in it: it looks back over about ten of them, half an epoch and more."""


class Average:
    """The average of all weights of one network, statistics of BatchNorm among them."""

    def __init__(self, network: tf_keras.Model, steps_per_epoch: int) -> None:
        tf = tensorflow()
        self._network = network
        self._every = max(1, steps_per_epoch // PER_EPOCH)
        self._steps = tf.Variable(0, trainable=False)
        self._shadows = [tf.Variable(weight, trainable=False) for weight in network.weights]

    def after_step(self) -> None:
        """Take the weights in, if it is time; to be called in the graph of a training step."""
        tf = tensorflow()
        steps = self._steps.assign_add(1)
        due = tf.equal(steps % self._every, 0)
        tf.cond(due, lambda: self._take_in(steps // self._every), lambda: tf.constant(0))

    def _take_in(self, taken: int) -> object:
        """Move towards the weights; the first ones count evenly, so that the start is soon forgotten."""
        tf = tensorflow()
        share = tf.maximum(SHARE, 1 / tf.cast(taken, tf.float32))
        for shadow, weight in zip(self._shadows, self._network.weights, strict=True):
            shadow.assign_add(share * (weight - shadow))
        return tf.constant(0)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have its average weights until the block ends."""
        own = self._network.get_weights()
        self._network.set_weights([shadow.numpy() for shadow in self._shadows])
        try:
            yield
        finally:
            self._network.set_weights(own)
