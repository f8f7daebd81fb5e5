"""A model of what candidates will show, learnt from those that were tried: a Gaussian process.

The kernel is exp(-d / l - e / m) with a noise term: d is the mean distance over the parameters (1 between two
categories, the share of the range between two numbers, 1 where one has the parameter and the other has not:
Gower 1971, "A general coefficient of similarity"), e that over figures which are known beforehand, in
standard deviations. Lengths and noise are those of a small grid under which the observations are most likely
(Rasmussen and Williams 2006, chapter 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaces.chooser import Choices, Integers, Ranges, Reals, Scalar, range_named

if TYPE_CHECKING:
    Array = NDArray[np.float64]

LENGTHS = (0.15, 0.3, 0.6, 1.2, 2.4)
"""Of the parameters' mean distance, which lies in [0, 1]."""
FIGURE_LENGTHS = (0.5, 1.0, 2.0, 4.0, math.inf)
"""Of the figures', in standard deviations; infinite where they tell nothing."""
NOISES = (1e-3, 1e-2, 1e-1)
LEAST_VARIANCE = 1e-9


class Encoding:
    """Turns parameters into rows of numbers, a column per name: nan where a candidate does not have one."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._columns: dict[str, int] = {}

    def learn(self, params: Mapping[str, Scalar]) -> None:
        """Give every name a column. A name that none has yet counts for nothing."""
        for name in params:
            self._columns.setdefault(name, len(self._columns))

    def rows(self, params: Sequence[Mapping[str, Scalar]]) -> Array:
        """Return an array of (candidates, columns)."""
        found = np.full((len(params), len(self._columns)), np.nan)
        for row, chosen in zip(found, params, strict=True):
            for name, value in chosen.items():
                if name in self._columns:
                    row[self._columns[name]] = place(range_named(self._ranges, name), value)
        return found

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Which columns hold categories."""
        return np.array(
            [isinstance(range_named(self._ranges, name), Choices) for name in self._columns], bool
        )


def place(within: Integers | Reals | Choices, value: Scalar) -> float:
    """Return where a number lies in its range, from 0 to 1, or the place of a category."""
    if isinstance(within, Choices):
        return float(within.options.index(value))
    low, high, number = float(within.low), float(within.high), float(value)
    if low == high:
        return 0.0
    if within.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


def distances(rows: Array, others: Array, categorical: NDArray[np.bool_]) -> Array:
    """Return the mean distance over the columns, as an array of (rows, others)."""
    total = np.zeros((len(rows), len(others)))
    for column in range(rows.shape[1]):
        a, b = rows[:, column, None], others[None, :, column]
        apart = (a != b).astype(float) if categorical[column] else np.abs(a - b)
        apart[np.isnan(a) ^ np.isnan(b)] = 1.0
        apart[np.isnan(a) & np.isnan(b)] = 0.0
        total += apart
    mean: Array = total / max(1, rows.shape[1])
    return mean


class Lengths(NamedTuple):
    """How far observations tell of each other, and how much of them is noise."""

    params: float
    figures: float
    noise: float


class Process:
    """A Gaussian process, given what was observed.

    `apart` are the distances of the observed candidates by parameters and `figures` those by figures, both
    of (n, n). Without `lengths` the most likely ones of the grid are taken, which costs as much as 75 fits.
    """

    def __init__(self, apart: Array, figures: Array, observed: Array, lengths: Lengths | None = None) -> None:
        self._mean = float(observed.mean())
        self._scale = float(observed.std()) or 1.0
        y = (observed - self._mean) / self._scale
        tried = (
            [lengths] if lengths else [Lengths(*found) for found in product(LENGTHS, FIGURE_LENGTHS, NOISES)]
        )
        fits = [_fit(apart, figures, y, found) for found in tried]
        best = max(range(len(fits)), key=lambda number: fits[number][0])
        self.lengths = tried[best]
        _, self._inverse, self._weights, self._variance = fits[best]

    def predict(self, apart: Array, figures: Array) -> tuple[Array, Array]:
        """Return means and standard deviations of candidates at these distances, of (candidates, n)."""
        near = _kernel(apart, figures, self.lengths)
        told = np.einsum("ij,jk,ik->i", near, self._inverse, near, optimize=True)
        deviation = np.sqrt(self._variance * np.maximum(LEAST_VARIANCE, 1 - told))
        return self._mean + self._scale * (near @ self._weights), self._scale * deviation


def _kernel(apart: Array, figures: Array, lengths: Lengths) -> Array:
    found: Array = np.exp(-apart / lengths.params - figures / lengths.figures)
    return found


def _fit(apart: Array, figures: Array, y: Array, lengths: Lengths) -> tuple[float, Array, Array, float]:
    """Return log likelihood (but for a constant), inverse, weights and variance."""
    kernel = _kernel(apart, figures, lengths) + lengths.noise * np.eye(len(y))
    lower = np.linalg.cholesky(kernel)
    inverse: Any = np.linalg.inv(kernel)
    weights = inverse @ y
    variance = max(LEAST_VARIANCE, float(y @ weights) / len(y))
    likelihood = -0.5 * len(y) * math.log(variance) - float(np.log(np.diag(lower)).sum())
    return likelihood, inverse, weights, variance
