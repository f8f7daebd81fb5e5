"""A model of what candidates will show, learnt from those that were tried: a Gaussian process.

The kernel is exp(-d / l - e / m) with a noise term: d is the mean distance over the parameters (1 between two
categories, the share of the range between two numbers, 1 where one has the parameter and the other has not:
Gower 1971, "A general coefficient of similarity"), e that over figures which are known beforehand, in
standard deviations. Lengths and noise are those of a small grid under which some of the observations are
most likely (Rasmussen and Williams 2006, chapter 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular  # type: ignore[import-untyped, unused-ignore]
from scipy.spatial.distance import cdist  # type: ignore[import-untyped, unused-ignore]

from spaces.chooser import Choices, Integers, Ranges, Reals, Scalar, range_named

if TYPE_CHECKING:
    Array = NDArray[np.float64]

LENGTHS = (0.15, 0.3, 0.6, 1.2, 2.4)
"""Of the parameters' mean distance, which lies in [0, 1]."""
FIGURE_LENGTHS = (0.5, 1.0, 2.0, 4.0, math.inf)
"""Of the figures', in standard deviations; infinite where they tell nothing."""
NOISES = (1e-3, 1e-2, 1e-1)
LEAST_VARIANCE = 1e-9
MOST = 1_500
"""So many points are kept whose distances may be asked for again: twice those that a model has to do with."""
SAMPLED = 100
"""Of so many observations, evenly spread, the likelihood is computed: it takes 75 fits."""


class Encoding:
    """Turns parameters into points whose city-block distance is the sum over the parameters' distances.

    A number x in [0, 1] is (x, 1 - x, 1) / 2, a category a half at its own place and 1 / 2, and what is not
    there is 0: so two numbers are |x - y| apart, two categories 1, and what one has alone 1.
    """

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._begins: dict[str, int] = {}
        self._size = 0
        self._totals = Totals()

    def point(self, params: Mapping[str, Scalar]) -> Array:
        """Return the point; its coordinates are those of all names so far, further ones are 0."""
        parts = {name: self._part(name, value) for name, value in params.items()}
        for name, part in parts.items():
            if name not in self._begins:
                self._begins[name] = self._size
                self._size += len(part)
        found = np.zeros(self._size)
        for name, part in parts.items():
            found[self._begins[name] : self._begins[name] + len(part)] = part
        return found

    def distances(self, points: Sequence[Array], others: Sequence[Array]) -> Array:
        """Return the mean distance over all names so far, of (points, others)."""
        mean: Array = self._totals.of(points, others) / max(1, len(self._begins))
        return mean

    def _part(self, name: str, value: Scalar) -> list[float]:
        within = range_named(self._ranges, name)
        if isinstance(within, Choices):
            return [0.5 * (option == value) for option in within.options] + [0.5]
        share = place(within, value)
        return [share / 2, (1 - share) / 2, 0.5]


class Totals:
    """City-block distances of points, each pair worked out once as long as both are asked for.

    Of MOST points at a time they are known; a point is told by the array that it is. One that is shorter
    than another is 0 in what it lacks.
    """

    def __init__(self) -> None:
        self._begin([])

    def of(self, points: Sequence[Array], others: Sequence[Array]) -> Array:
        """Return the distances, of (points, others)."""
        asked = {id(point): point for point in (*points, *others)}
        new = [point for key, point in asked.items() if key not in self._places]
        if len(self._points) + len(new) > len(self._known):
            self._begin(list(asked.values()))
        elif new:
            self._add(new)
        rows, columns = ([self._places[id(point)] for point in some] for some in (points, others))
        return self._known[np.ix_(rows, columns)]

    def _begin(self, points: list[Array]) -> None:
        most = max(MOST, len(points))
        self._places: dict[int, int] = {}
        self._points: list[Array] = []  # kept, lest another array comes to lie where one of them was
        self._known, self._table = np.empty((most, most)), np.zeros((most, 0))
        self._add(points)

    def _add(self, new: list[Array]) -> None:
        before, after = len(self._points), len(self._points) + len(new)
        self._points += new
        self._places |= {id(point): before + i for i, point in enumerate(new)}
        wider = max(map(len, new), default=0) - self._table.shape[1]
        self._table = np.pad(self._table, ((0, 0), (0, max(0, wider))))
        for row, point in zip(self._table[before:after], new, strict=True):
            row[: len(point)] = point
        self._known[before:after, :after] = cdist(self._table[before:after], self._table[:after], "cityblock")
        self._known[:before, before:after] = self._known[before:after, :before].T


def place(within: Integers | Reals, value: Scalar) -> float:
    """Return where a number lies in its range, from 0 to 1."""
    low, high, number = float(within.low), float(within.high), float(value)
    if low == high:
        return 0.0
    if within.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


class Apart(NamedTuple):
    """How far candidates lie from others, by parameters and by figures, both of (candidates, others)."""

    params: Array
    figures: Array

    def part(self, rows: Sequence[int] | slice, columns: Sequence[int] | slice = slice(None)) -> Apart:
        """Return it for some of the candidates and some of the others."""
        return Apart(self.params[rows][:, columns], self.figures[rows][:, columns])


class Lengths(NamedTuple):
    """How far observations tell of each other, and how much of them is noise."""

    params: float
    figures: float
    noise: float


class Process:
    """A Gaussian process, given what was observed of candidates that are `apart` from each other.

    Without `lengths` the most likely ones of the grid are taken.
    """

    def __init__(self, apart: Apart, observed: Array, lengths: Lengths | None = None) -> None:
        self._mean = float(observed.mean())
        self._scale = float(observed.std()) or 1.0
        y = (observed - self._mean) / self._scale
        self.lengths = lengths or _likeliest(apart, y)
        self._factor, self._weights = _solved(apart, y, self.lengths)
        self._variance = max(LEAST_VARIANCE, float(y @ self._weights) / len(y))

    def predict(self, apart: Apart) -> tuple[Array, Array]:
        """Return means and standard deviations of candidates that are so far from the observed ones."""
        near = _kernel(apart, self.lengths)
        told = (solve_triangular(self._factor, near.T, lower=True, check_finite=False) ** 2).sum(axis=0)
        deviation = np.sqrt(self._variance * np.maximum(LEAST_VARIANCE, 1 - told))
        return self._mean + self._scale * (near @ self._weights), self._scale * deviation


def _kernel(apart: Apart, lengths: Lengths) -> Array:
    found: Array = np.exp(-apart.params / lengths.params - apart.figures / lengths.figures)
    return found


def _solved(apart: Apart, y: Array, lengths: Lengths) -> tuple[Array, Array]:
    """Return the lower factor of the kernel with its noise, and the weights of the observations."""
    factor: Any = np.linalg.cholesky(_kernel(apart, lengths) + lengths.noise * np.eye(len(y)))
    weights: Array = cho_solve((factor, True), y)
    return factor, weights


def _likeliest(apart: Apart, y: Array) -> Lengths:
    some = np.linspace(0, len(y) - 1, min(len(y), SAMPLED)).astype(int).tolist()
    part, seen = apart.part(some, some), y[some]
    found = (_likelihoods(part, seen, *lengths) for lengths in product(LENGTHS, FIGURE_LENGTHS))
    return max((each for some in found for each in some), key=itemgetter(0))[1]


def _likelihoods(apart: Apart, y: Array, params: float, figures: float) -> Iterator[tuple[float, Lengths]]:
    """Yield the logarithm of the likelihood for each amount of noise."""
    near = _kernel(apart, Lengths(params, figures, 0.0))
    for noise in NOISES:
        factor: Any = np.linalg.cholesky(near + noise * np.eye(len(y)))
        told = solve_triangular(factor, y, lower=True, check_finite=False)
        variance = max(LEAST_VARIANCE, float(told @ told) / len(y))
        fit = -0.5 * len(y) * math.log(variance) - float(np.log(np.diag(factor)).sum())
        yield fit, Lengths(params, figures, noise)
