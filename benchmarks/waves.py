"""A time series to train on, made here: six classes of oscillation in three channels, under noise and drift.

What tells the classes apart lies anywhere in a series and in any phase: a low or a high frequency, two of
them at once, a rising one, a short burst, and a train of clicks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
SERIES, STEPS, CHANNELS = 6_000, 96, 3
NOISE, DRIFT = 0.6, 0.5
SEED = 2026


def waves(count: int = SERIES, seed: int = SEED) -> tuple[Array, Array]:
    """Return so many series, (count, STEPS, CHANNELS) float32, and their classes, (count,) int64.

    Each channel has an amplitude, a phase, an offset and a drift of its own. Equal arguments give equal
    series.
    """
    generator = np.random.default_rng(seed)
    y = generator.integers(0, len(SHAPES), count)
    time = np.linspace(0, 1, STEPS)[None, :, None]
    angles = generator.uniform(0, 2 * np.pi, (count, 1, CHANNELS))
    signals = np.stack([shape(generator, time, angles) for shape in SHAPES])
    own = signals[y, np.arange(count)] * generator.uniform(0.5, 1.5, (count, 1, CHANNELS))
    drift = generator.normal(0, DRIFT, (2, count, 1, CHANNELS))
    noise = generator.normal(0, NOISE, own.shape)
    return (own + drift[0] + drift[1] * time + noise).astype(np.float32), y


def _low(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    return np.sin(2 * np.pi * _about(generator, 4, angles) * time + angles)


def _high(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    return np.sin(2 * np.pi * _about(generator, 9, angles) * time + angles)


def _both(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    return np.add(0.7 * _low(generator, time, angles), 0.7 * _high(generator, time, 2 * angles))


def _rising(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    return np.sin(2 * np.pi * (3 + 3 * time) * time * _about(generator, 1, angles) + angles)


def _burst(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    place = generator.uniform(0.2, 0.8, (len(angles), 1, 1))
    burst: Array = 1.8 * np.exp(-(((time - place) / 0.1) ** 2)) * _high(generator, time, angles)
    return burst


def _clicks(generator: np.random.Generator, time: Array, angles: Array) -> Array:
    clicks: Array = 2 * np.exp(6 * (_low(generator, time, angles) - 1))
    return clicks


def _about(generator: np.random.Generator, frequency: float, angles: Array) -> Array:
    """Return a frequency for each series, within a fifth of the one given; the channels share it."""
    return frequency * generator.uniform(0.8, 1.2, (len(angles), 1, 1))


SHAPES: tuple[Callable[[np.random.Generator, Array, Array], Array], ...] = (
    _low, _high, _both, _rising, _burst, _clicks,
)  # fmt: skip
"""What a class looks like: a signal for each series, (count, STEPS, CHANNELS), by time and phases."""
