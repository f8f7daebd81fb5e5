"""Augmentation: every batch of a training a little changed, by ops of the graph that trains on it.

It works on raw samples, before the normaliser: what it makes is normalised, clipped and reduced as any
sample is, so nothing reaches the network that it could not meet in use. Random numbers depend on the seed
and the step alone, so a training repeats itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.errors import ObjectiveError
from objectives.tensorflow import tensorflow
from spaces.candidate import AUGMENTATIONS, Augmentation, Kind

if TYPE_CHECKING:
    from objectives.normalise import Normaliser

Augment = Callable[[Any, Any], Any]
"""From raw samples (batch, *input_shape) and the step, a scalar int, to as many samples of the same type."""
IMAGE_REACH, SERIES_REACH = 1 / 16, 1 / 8
"""Of an axis: how far a shift goes, in either direction.

An eighth is usual for photographs and hundreds of epochs. A convnet of 55,000 weights after 20 epochs on
12,000 images of Fashion-MNIST: .864 on test data without, .892 with 1 pixel, .867 with 3.
"""
ERASED = 1 / 4
"""Of the shorter side: the square that cutout erases (DeVries & Taylor 2017: a half to a quarter)."""
NOISE = 0.1
"""Of a channel's standard deviation: that of the noise which jitter adds (Um et al. 2017)."""
AMPLITUDE = 0.1
"""The standard deviation of the factor on each channel of a series (Um et al. 2017)."""
DRAWS_OF_A_CHANGE = 100
"""More than any change draws in a step."""


def augmenter(name: Augmentation, shape: tuple[int, ...], normaliser: Normaliser, seed: int) -> Augment:
    """Return what changes a batch of raw samples, each (*shape), in a random way of its own.

    `normaliser` tells the mean and the spread of each channel. Labels stay as they are, for no
    augmentation changes the order of samples. Raises ObjectiveError for one that is not for such samples.
    """
    if name == "none":
        return lambda batch, _: batch
    offered = AUGMENTATIONS[kind_of(shape)]
    if name not in offered:
        raise ObjectiveError(
            f"the augmentation of a {kind_of(shape)} is one of {', '.join(offered)}, got '{name}'"
        )
    changes = _CHANGES[name]

    def augment(batch: Any, step: Any) -> Any:
        for number, change in enumerate(changes):
            batch = change(batch, _Draws(seed, step, number), normaliser)
        return batch

    return augment


def kind_of(shape: tuple[int, ...]) -> Kind:
    """Return the kind of a sample: a series is (time, 1, channels)."""
    if len(shape) == 1:
        return "table"
    return "series" if shape[1] == 1 else "image"


class _Draws:
    """The random numbers of one change in one step; every draw is another."""

    def __init__(self, seed: int, step: Any, change: int) -> None:
        tf = tensorflow()
        self._seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
        self._drawn = change * DRAWS_OF_A_CHANGE

    def _next(self) -> Any:
        self._drawn += 1
        return tensorflow().random.experimental.stateless_fold_in(self._seed, self._drawn)

    def whole(self, shape: Any, low: int, high: int) -> Any:
        """Return whole numbers from low to high, both included, int32."""
        return tensorflow().random.stateless_uniform(shape, self._next(), low, high + 1, np.int32)

    def normal(self, shape: Any) -> Any:
        """Return numbers of a unit normal distribution, float32, none farther out than 2."""
        return tensorflow().random.stateless_truncated_normal(shape, self._next())


Change = Callable[[Any, _Draws, "Normaliser"], Any]


def _shifted(batch: Any, draws: _Draws, _: Normaliser) -> Any:
    """Move along both axes; what is missing at the border is what was there."""
    count, height, width = _sizes(batch)
    share = IMAGE_REACH if width > 1 else SERIES_REACH
    rows, columns = (
        _positions(size, draws.whole((count, 1), -int(share * size), int(share * size)))
        for size in (height, width)
    )
    return _taken(batch, rows, columns)


def _flipped(batch: Any, draws: _Draws, _: Normaliser) -> Any:
    """Mirror half of the images, left for right."""
    tf = tensorflow()
    count, height, width = _sizes(batch)
    there = tf.broadcast_to(tf.range(width), (count, width))
    mirrored = draws.whole((count, 1), 0, 1) == 1
    rows = tf.broadcast_to(tf.range(height), (count, height))
    return _taken(batch, rows, tf.where(mirrored, width - 1 - there, there))


def _erased(batch: Any, draws: _Draws, normaliser: Normaliser) -> Any:
    """Set a square around a random pixel to the mean of each channel; it may lie partly outside."""
    tf = tensorflow()
    count, height, width = _sizes(batch)
    side = max(1, round(ERASED * min(height, width)))
    rows, columns = (_band(size, draws.whole((count, 1), 0, size - 1), side) for size in (height, width))
    square = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(square, _typed(_of_channels(normaliser.offset), batch.dtype), batch)


def _jittered(batch: Any, draws: _Draws, normaliser: Normaliser) -> Any:
    """Add noise to every value, in proportion to its channel's spread."""
    tf = tensorflow()
    spread = 1 / _of_channels(normaliser.scale)
    noise = NOISE * spread * draws.normal(tf.shape(batch))
    return _typed(tf.cast(batch, tf.float32) + noise, batch.dtype)


def _scaled(batch: Any, draws: _Draws, normaliser: Normaliser) -> Any:
    """Stretch every channel about its mean, each by a factor of its own."""
    tf = tensorflow()
    mean = _of_channels(normaliser.offset)
    factor = 1 + AMPLITUDE * draws.normal((tf.shape(batch)[0], 1, 1, batch.shape[-1]))
    return _typed(mean + (tf.cast(batch, tf.float32) - mean) * factor, batch.dtype)


_CHANGES: dict[Augmentation, tuple[Change, ...]] = {
    "shift": (_shifted,),
    "shift-flip": (_shifted, _flipped),
    "cutout": (_shifted, _erased),
    "jitter": (_jittered,),
    "scale": (_scaled,),
}


def _sizes(batch: Any) -> tuple[Any, int, int]:
    return tensorflow().shape(batch)[0], batch.shape[1], batch.shape[2]


def _positions(size: int, by: Any) -> Any:
    """Return for each sample where along an axis each value comes from, (batch, size) int32."""
    tf = tensorflow()
    return tf.clip_by_value(tf.range(size) - by, 0, size - 1)


def _band(size: int, center: Any, side: int) -> Any:
    """Return for each sample what of an axis lies in a band of that many positions, (batch, size) bool."""
    tf = tensorflow()
    first = center - side // 2
    return (tf.range(size) >= first) & (tf.range(size) < first + side)


def _taken(batch: Any, rows: Any, columns: Any) -> Any:
    """Return the pixels at these rows (batch, height) and columns (batch, width) of each sample.

    One gather over all pixels: half the time of one along each axis, and a fraction of a transformation.
    """
    tf = tensorflow()
    count, height, width = _sizes(batch)
    first = (tf.range(count) * (height * width))[:, None, None]
    index = first + rows[:, :, None] * width + columns[:, None, :]
    return tf.gather(tf.reshape(batch, (-1, batch.shape[-1])), index)


def _of_channels(values: tuple[float, ...]) -> Any:
    return np.asarray(values, np.float32)


def _typed(values: Any, dtype: Any) -> Any:
    """Return float32 values as the samples' own type: whole numbers are rounded, and kept in its range."""
    tf = tensorflow()
    if not dtype.is_integer:
        return tf.cast(values, dtype)
    return tf.cast(tf.clip_by_value(tf.round(values), dtype.min, dtype.max), dtype)
