"""A moving average of a network's weights while it is trained: what the training is on its way to.

While the rate of learning is high, weights jump about their goal; their average is near to what they settle
on once it has come down (Polyak & Juditsky 1992). Here it tells early what a training will end with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.standing import twentieth

if TYPE_CHECKING:
    import tf_keras

    Array = np.ndarray[Any, np.dtype[Any]]

CHECKS = (4, 7, 10, 13)
"""After how many twentieths of a training its averaged weights are looked at: each look is one validation."""
WORTH_A_LOOK_S = 3.0
"""A training with less than this left is let be.

The looks at a small network take .1 to .3 s together, and to find out what its file takes another .5 s; about
one training in ten is stopped (digits, 120 s). So no less than some seconds must be there to be saved.
"""
PER_EPOCH = 16
"""How often in an epoch the average takes the weights in: after every step would cost as much as the step."""
SHARE = 0.1
"""What the newest weights count in it: it looks back over about ten of them, half an epoch and more."""


def worth_a_look(left_s: float) -> bool:
    """Tell whether what is left of a training, or follows it, is long enough to look whether it pays."""
    return left_s >= WORTH_A_LOOK_S


class Average:
    """The average of all weights of one network, statistics of BatchNorm among them."""

    def __init__(self, network: tf_keras.Model) -> None:
        self._network, self._taken = network, 0
        self._mean: list[Array] = []

    def take_in(self) -> None:
        """Move towards the weights; the first ones count evenly, so that the start is soon forgotten."""
        weights: list[Array] = self._network.get_weights()
        self._taken += 1
        share = np.float32(max(SHARE, 1 / self._taken))
        before = self._mean or weights
        self._mean = [mean + share * (new - mean) for mean, new in zip(before, weights, strict=True)]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have its average weights until the block ends; then it begins anew."""
        own = self._network.get_weights()
        self._network.set_weights(self._mean)
        try:
            yield
        finally:
            self._network.set_weights(own)
            self._taken, self._mean = 0, []


class Looks:
    """When a training of so many epochs is looked at: after CHECKS, as long as enough of it is left."""

    def __init__(self, network: tf_keras.Model, steps_per_epoch: int, epochs: int) -> None:
        self.average = Average(network)
        self.every = max(1, steps_per_epoch // PER_EPOCH)
        self._span = math.ceil(PER_EPOCH / math.ceil(steps_per_epoch / self.every))
        self._epochs, self._left_s = epochs, math.inf
        self._after = [
            epoch
            for epoch in range(1, epochs + 1)
            if any(twentieth(epoch - 1, epochs) < check <= twentieth(epoch, epochs) for check in CHECKS)
        ]

    def took(self, epoch: int, seconds: float) -> None:
        """Take note of what an epoch took."""
        self._left_s = (self._epochs - epoch) * seconds

    def counts(self, epoch: int) -> bool:
        """Tell whether the weights of an epoch that begins count in an average that is looked at."""
        return worth_a_look(self._left_s) and any(
            after - self._span < epoch <= after for after in self._after
        )

    def due(self, epoch: int) -> bool:
        """Tell whether to look after an epoch that ended."""
        return worth_a_look(self._left_s) and epoch in self._after
